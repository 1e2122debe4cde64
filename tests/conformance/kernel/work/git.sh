# A C project of MODULES modules: cloned, built, changed, built again; git finds it whole after a new mount.
export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.email GIT_CONFIG_VALUE_0=t@example.org
export GIT_CONFIG_KEY_1=user.name GIT_CONFIG_VALUE_1=t
expected=$(python3 "$HERE/c_project.py" /tmp/project "$MODULES")
cd /tmp/project
git init -q -b main .
git add -A && git commit -qm 'the project'
for turn in 1 2 3; do
  echo "/* $turn */" >>src/module_$turn.c
  git commit -qam "change $turn"
done
git bundle create -q /tmp/project.bundle --all
head=$(git rev-parse HEAD)

cd "$WHERE"
begin
git clone -q /tmp/project clone
git clone -q -b main /tmp/project.bundle bundled
same "$(git -C clone rev-parse HEAD) $(git -C bundled rev-parse HEAD)" "$head $head"
cd clone
make -s
same "$(./program)" "$expected"
make -q # nothing is older than what it is made of
touch src/module_1.c
same "$(make | grep -c -- ' -c ')" 1
git checkout -q -b topic HEAD~2
echo '/* of the topic */' >>src/module_4.c
git commit -qam topic
git checkout -q main
git merge -q topic -m merged
make -s
same "$(./program)" "$expected"
git gc -q --prune=now
cd ..

remount
for each in clone bundled; do
  same "$(git -C $each status --porcelain)" ''
  same "$(git -C $each fsck --full --strict 2>&1 | grep -v '^Checking\|^dangling' || true)" ''
done
same "$(git -C clone log --oneline | wc -l)" 6
same "$(clone/program)" "$expected"
make -q -C clone
diff -r --exclude=.git /tmp/project bundled
