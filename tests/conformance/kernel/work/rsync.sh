# rsync -aH of a tree of FILES files to the mount and back: the second run finds nothing to do, a change costs one file.
mkdir /tmp/source
(cd /tmp/source && python3 "$HERE/make_tree.py" . "$FILES" && rm socket)
python3 "$HERE/show_tree.py" /tmp/source >/tmp/theirs
begin
rsync -aH --devices --specials /tmp/source/ tree/
same "$(rsync -aHi /tmp/source/ tree/)" ''
same "$(rsync -aHic --delete /tmp/source/ tree/)" ''
calm
forget
python3 "$HERE/show_tree.py" tree | diff /tmp/theirs -
echo changed >>"tree/d0/e0/file 0"
echo new >tree/new
rm tree/.hidden
remount
rsync -aH --delete tree/ /tmp/back/
same "$(rsync -aHi --delete tree/ /tmp/back/)" ''
python3 "$HERE/show_tree.py" tree >/tmp/ours
python3 "$HERE/show_tree.py" /tmp/back | diff /tmp/ours -
same "$(tail -c 8 "/tmp/back/d0/e0/file 0") $(cat /tmp/back/new)" 'changed new'
test ! -e /tmp/back/.hidden
same "$(rsync -aHi --inplace --delete /tmp/source/ tree/ | grep -c '^>f')" 2
python3 "$HERE/show_tree.py" tree | diff /tmp/theirs -
