# Sourced before every work. The working folder is the test's own on the mount; HERE holds these files, SHARE is a folder
# that the test sees too, and the sizes of the work are in the environment.
. /run/lab/settings
trap 'echo "line $LINENO: $BASH_COMMAND" >&2' ERR
export HOME=/tmp TZ=UTC
WHERE=$PWD

# From here on the gateway may be killed, until `calm`.
begin() { : >"$SHARE/begun"; }
calm() {
  : >"$SHARE/ended"
  until [ -e "$SHARE/quiet" ]; do sleep 0.1; done
}

# Mount anew: nothing that the client kept is left. The first mount of a gateway that is down would fail, hence calm.
remount() {
  calm
  cd /
  umount "$MNT"
  mount -t nfs -o "$OPTS" "$SERVER:$EXPORT" "$MNT"
  cd "$WHERE"
}

# Drop what the client kept, without a new mount.
forget() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
}

same() { # what is, what should be
  [ "$1" = "$2" ] || {
    echo "'$1' is not '$2'" >&2
    exit 1
  }
}
