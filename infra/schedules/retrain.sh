#!/bin/sh
# `mien retrain` for schedulers that know only success and failure: promoted (10), kept (11) and another one at work (12)
# are no failures. Run it in the checkout, or name the checkout.
cd "${1:-.}" || exit 1
mien retrain
code=$?
case $code in
  10 | 11 | 12) exit 0 ;;
  *) exit $code ;;
esac
