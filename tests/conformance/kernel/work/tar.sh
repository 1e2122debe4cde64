# An archive of a tree of FILES files, unpacked on the mount: as tar sees it, and as it is packed again.
mkdir /tmp/source
(cd /tmp/source && python3 "$HERE/make_tree.py" . "$FILES" && rm socket) # tar keeps no sockets
tar --format=pax --numeric-owner -cf /tmp/tree.tar -C /tmp/source .
begin
mkdir tree
tar -xpf /tmp/tree.tar -C tree --numeric-owner
tar --compare -f /tmp/tree.tar -C tree
remount
tar --compare -f /tmp/tree.tar -C tree
tar --format=pax --numeric-owner -cf /tmp/again.tar -C tree .
mkdir /tmp/again
tar -xpf /tmp/again.tar -C /tmp/again --numeric-owner
python3 "$HERE/show_tree.py" /tmp/source >/tmp/theirs
python3 "$HERE/show_tree.py" /tmp/again | diff /tmp/theirs -
test "$(wc -l </tmp/theirs)" -gt "$FILES"
rm -rf tree
test ! -e tree
