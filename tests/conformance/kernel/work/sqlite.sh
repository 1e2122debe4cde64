# A database of ROWS rows, in each of the journal modes, beside the same statements in memory.
begin
python3 "$HERE/sqlite_work.py" "$ROWS" >/tmp/sums
remount
for mode in delete truncate persist; do
  same "$(sqlite3 "file:$mode.db?nolock=1" 'PRAGMA integrity_check')" ok
  same "$mode $(sqlite3 "file:$mode.db?nolock=1" .dump | sha256sum)" "$(grep "^$mode " /tmp/sums)"
done
