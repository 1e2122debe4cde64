# Random operations on a file, STEPS of them for each of SEEDS seeds, each done to a local file too.
begin
for seed in $SEEDS; do
  timeout 3000 python3 "$HERE/exerciser.py" --seed "$seed" --steps "$STEPS" "file-$seed" "/tmp/file-$seed"
done
remount
for seed in $SEEDS; do cmp "file-$seed" "/tmp/file-$seed"; done
