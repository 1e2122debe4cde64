# A file of MIB MiB from this machine to the mount and back.
head -c 1048576 /dev/urandom >/tmp/grain
python3 - >"$SHARE/big" <<END
import sys
grain = open("/tmp/grain", "rb").read()
for number in range($MIB):
    sys.stdout.buffer.write(number.to_bytes(8, "big") + grain[8:])
END
sum=$(sha256sum <"$SHARE/big")
begin
cp "$SHARE/big" big
same "$(stat -c %s big)" $((MIB << 20))
cp big second
remount
same "$(sha256sum <big)" "$sum"
cp second "$SHARE/back"
same "$(sha256sum <"$SHARE/back")" "$sum"
test "$(stat -c %b big)" -ge $((MIB << 11))
rm big second "$SHARE/big" "$SHARE/back"
