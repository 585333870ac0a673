#!/bin/sh
# Lay the checkout that this script belongs to into an empty work volume; one that holds a checkout stays as it is.
set -eu
target=${1:?usage: seed.sh FOLDER}
checkout=$(cd "$(dirname "$0")/.." && pwd)
if [ -e "$target/dvc.yaml" ]; then
  echo "$target holds a checkout already"
  exit 0
fi
rm -rf "$target/.seeding"
cp -R "$checkout/." "$target/.seeding"
# dvc.yaml is moved last of all, so that whatever was cut off is begun anew
for name in $(ls -A "$target/.seeding" | grep -vx dvc.yaml); do
  rm -rf "${target:?}/$name"
  mv "$target/.seeding/$name" "$target/"
done
mv "$target/.seeding/dvc.yaml" "$target/"
rmdir "$target/.seeding"
