# A file of 5 GiB that holds a few bytes; MIB MiB of it copied with its holes.
begin
truncate -s 5G sparse
printf first | dd of=sparse conv=notrunc status=none
printf middle | dd of=sparse bs=1 seek=3000000001 conv=notrunc status=none
printf '!' >>sparse
forget
same "$(stat -c %s sparse)" $(((5 << 30) + 1))
test "$(stat -c %b sparse)" -le 2048
same "$(tail -c 1 sparse)" '!'
python3 - <<'END'
with open("sparse", "rb") as file:
    assert file.read(1 << 20) == b"first" + bytes((1 << 20) - 5)
    for start in (1 << 30, (1 << 32) - (1 << 19), (5 << 30) - (1 << 20)):
        file.seek(start)
        assert file.read(1 << 20) == bytes(1 << 20), start
    file.seek(2_999_999_991)
    assert file.read(26) == bytes(10) + b"middle" + bytes(10)
END
truncate -s "${MIB}M" sparse
cp --sparse=always sparse copy
remount
test "$(stat -c %b sparse)" -le 2048
cmp sparse copy
same "$(stat -c %s copy)" $((MIB << 20))
test "$(stat -c %b copy)" -le 6144 # cp writes the whole MiB (st_blksize) that holds a byte
same "$(head -c 5 copy)" first
rm sparse copy
