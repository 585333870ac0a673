#!/bin/sh
# Lay the image's checkout into an empty work volume; one that holds a checkout stays as it is.
set -eu
target=${1:?usage: seed.sh FOLDER}
if [ -e "$target/dvc.yaml" ]; then
  echo "$target holds a checkout already"
  exit 0
fi
cp -R /srv/mien/. "$target/.seeding"
# moved as the last step, so that a killed copy starts anew; dvc.yaml goes last of all
rm -rf "$target/src"
for name in $(ls -A "$target/.seeding" | grep -vx dvc.yaml); do
  rm -rf "${target:?}/$name"
  mv "$target/.seeding/$name" "$target/"
done
mv "$target/.seeding/dvc.yaml" "$target/"
rmdir "$target/.seeding"
