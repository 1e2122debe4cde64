# cp -a of a tree of FILES files with every kind of file: to the mount, within it, and back.
mkdir /tmp/source
(cd /tmp/source && python3 "$HERE/make_tree.py" . "$FILES")
python3 "$HERE/show_tree.py" /tmp/source >/tmp/theirs
begin
cp -a /tmp/source tree
python3 "$HERE/show_tree.py" tree | diff /tmp/theirs -
cp -a --reflink=auto tree second
remount
python3 "$HERE/show_tree.py" tree | diff /tmp/theirs -
python3 "$HERE/show_tree.py" second | diff /tmp/theirs -
cp -a second /tmp/back
python3 "$HERE/show_tree.py" /tmp/back | diff /tmp/theirs -
test "$(wc -l </tmp/theirs)" -gt "$FILES"
test -p second/fifo
(echo through >second/fifo &) && same "$(cat second/fifo)" through
