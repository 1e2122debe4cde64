# FILES files in one directory: made, listed in all ways, half of them removed while they are listed, then all.
begin
mkdir many
python3 - <<END
import os
for number in range($FILES):
    os.close(os.open(f"many/a name of some length {number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
END
remount
same "$(ls many | wc -l)" "$FILES"
forget
same "$(ls -U many | sort | uniq -d)" ''
same "$(ls -l --color=always many | grep -c length)" "$FILES"
same "$(find many -type f -empty | wc -l)" "$FILES"
same "$(stat -c %h many)" 2
find many -name '*[02468]' -delete
same "$(ls many | wc -l)" $((FILES / 2))
forget
same "$(ls many | grep -c '[02468]$' || true)" 0
touch "many/a name of some length 0"
same "$(ls many | wc -l)" $((FILES / 2 + 1))
rm -r many
test ! -e many
