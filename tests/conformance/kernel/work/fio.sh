# fio writes SIZE and SMALL bytes in many ways and reads them back by their checksums, at once and after a new mount.
common="--verify=crc32c --verify_fatal=1 --verify_state_save=0 --output-format=terse --group_reporting --end_fsync=1"
run() { # options
  echo "fio $*" >&2
  # shellcheck disable=SC2086 # lists of options
  fio $common "$@" >/tmp/fio.out || { cat /tmp/fio.out >&2; exit 1; }
}
jobs() { # further options
  run --name=sequential --rw=write --bs=1M --size="$SIZE" "$@"
  run --name=random --rw=randwrite --bs=4k --size="$SMALL" "$@"
  run --name=random-direct --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 --size="$SMALL" "$@"
  run --name=sequential-direct --rw=write --bs=256k --direct=1 --size="$SIZE" "$@"
  run --name=mixed-sizes --rw=randwrite --bsrange=512-128k --size="$SMALL" "$@"
  run --name=mapped --rw=randwrite --bs=4k --ioengine=mmap --size="$SMALL" "$@"
}
begin
jobs
# Reads and writes by turns, of blocks that were written before and are checked as they are read.
run --name=both --rw=randrw --rwmixread=50 --bs=8k --size="$SMALL" --verify_backlog=32
remount
jobs --verify_only
