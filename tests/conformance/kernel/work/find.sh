# A tree of DIRS directories of FILES files: df, du and find count right.
df() { command df --output="$1" . | tail -n 1 | tr -d ' %'; }
begin
python3 - <<END
import os
for folder in range($DIRS):
    os.makedirs(f"tree/{folder % 10}/{folder}/deep")
    for number in range($FILES):
        with open(f"tree/{folder % 10}/{folder}/deep/{number}.{'ab'[number % 2]}", "wb") as file:
            file.write(os.urandom(16384))
END
remount
same "$(find tree -type f | wc -l)" $((DIRS * FILES))
same "$(find tree -type f | sort -u | wc -l)" $((DIRS * FILES))
same "$(find tree -name '*.a' | wc -l)" $((DIRS * (FILES / 2)))
same "$(find tree -type d | wc -l)" $((DIRS * 2 + (DIRS < 10 ? DIRS : 10) + 1))
same "$(find tree -type f -size 16384c -links 1 | wc -l)" $((DIRS * FILES))
same "$(du -s --apparent-size -B4096 tree/0/0/deep | cut -f1 | tr -d ' ')" "$(du -s -B4096 tree/0/0/deep | cut -f1)"
same "$(ls -R tree | grep -c '\.[ab]$')" $((DIRS * FILES))
held=$(($(du -sk tree | cut -f1) - 1024)) # df counts whole MiB, and the files before this work go by and by
for turn in $(seq 30); do # the nodes tell what they hold now and then
  [ "$(df used)" -lt "$held" ] || break
  sleep 1
done
test "$(df used)" -ge "$held"
test "$(df avail)" -le "$(df size)"
find tree -type f -name '*.b' -delete
same "$(find tree -type f | wc -l)" $((DIRS * (FILES / 2)))
rm -r tree
test ! -e tree
