# Runs as init inside the overlay: network, mount, the test's script, power off. `settings` holds the variables.
exec </dev/null >/dev/ttyS1 2>&1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
stty raw -echo </dev/ttyS0; stty raw -echo </dev/ttyS1
LAB=/run/lab
. $LAB/settings
finish() { # exit status
  cd /; exec </dev/null
  if grep -q " $MNT nfs" /proc/mounts; then
    timeout 60 /usr/bin/umount "$MNT" || { echo "lab: umount of $MNT failed, forcing it"; /usr/bin/umount -f -l "$MNT"; }
  fi
  dmesg >$LAB/dmesg
  cat /proc/self/mountstats >$LAB/mountstats
  echo "$1" >$LAB/status
  sync
  exec >/dev/null 2>&1
  echo o >/proc/sysrq-trigger
  sleep 10
}
umount -l /mnt/.old
ulimit -c 0
mkdir -p "$MNT"
hostname "$GUEST_NAME"
printf '127.0.0.1 localhost\n%s %s\n%s nfshost\n' "$GUEST_IP" "$GUEST_NAME" "$SERVER" >/etc/hosts
rm -f /etc/resolv.conf; : >/etc/resolv.conf
ifconfig lo 127.0.0.1
if [ "$DEVICE" = vec0 ]; then
  ifconfig vec0 "$GUEST_IP" netmask 255.255.255.252 && route add default gw "$SERVER"
else
  ifconfig eth0 "$GUEST_IP" up && route add default dev eth0
fi || { echo "lab: network set-up failed"; finish 125; }
/usr/sbin/modprobe nfsv3 || { echo "lab: no NFS module"; finish 125; }
share() { mkdir -p "$2"; mount -t hostfs -o "$1" none "$2" || { echo "lab: sharing $1 failed"; finish 125; }; }
. $LAB/shares
if [ -n "$EXPORT" ]; then
  timeout "$MOUNT_SECONDS" /usr/bin/mount -t nfs -o "$OPTS" "$SERVER:$EXPORT" "$MNT" ||
    { echo "lab: mount failed ($?): $SERVER:$EXPORT -o $OPTS"; finish 126; }
fi
read -r up rest </proc/uptime; echo "$up" >$LAB/ready
exec <$LAB/stdin
# Not this shell's own folder: a script may mount anew.
(cd "${EXPORT:+$MNT}" && exec setsid sh -c "exec $AS_USER /bin/bash $LAB/script") >/dev/ttyS0 2>/dev/ttyS1
finish $?
