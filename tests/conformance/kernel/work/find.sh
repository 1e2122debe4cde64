# A tree of DIRS directories of FILES files: df, du and find count right.
df() { command df --output="$1" . | tail -n 1 | tr -d ' %'; }
used=$(df used)
begin
python3 - <<END
import os
for folder in range($DIRS):
    os.makedirs(f"tree/{folder % 10}/{folder}/deep")
    for number in range($FILES):
        with open(f"tree/{folder % 10}/{folder}/deep/{number}.{'ab'[number % 2]}", "wb") as file:
            file.write(os.urandom(4096))
END
remount
same "$(find tree -type f | wc -l)" $((DIRS * FILES))
same "$(find tree -type f | sort -u | wc -l)" $((DIRS * FILES))
same "$(find tree -name '*.a' | wc -l)" $((DIRS * (FILES / 2)))
same "$(find tree -type d | wc -l)" $((DIRS * 2 + (DIRS < 10 ? DIRS : 10) + 1))
same "$(find tree -type f -size 4096c -links 1 | wc -l)" $((DIRS * FILES))
same "$(du -s --apparent-size -B4096 tree/0/0/deep | cut -f1 | tr -d ' ')" "$(du -s -B4096 tree/0/0/deep | cut -f1)"
same "$(ls -R tree | grep -c '\.[ab]$')" $((DIRS * FILES))
for turn in $(seq 30); do # the nodes tell what they hold now and then
  [ $(($(df used) - used)) -lt $((DIRS * FILES * 4)) ] || break
  sleep 1
done
test $(($(df used) - used)) -ge $((DIRS * FILES * 4))
test "$(df avail)" -le "$(df size)"
find tree -type f -name '*.b' -delete
same "$(find tree -type f | wc -l)" $((DIRS * (FILES / 2)))
rm -r tree
test ! -e tree
