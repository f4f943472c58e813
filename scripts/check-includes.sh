#!/bin/sh
# Includes go one way: base < schedule, journal < store, request < sweep < command < programs;
# only src/store/pg* sees libpq, mongo* libmongoc, redis* hiredis; the programs alone name the stores.
set -eu
cd "$(dirname "$0")/.."
bad=0
may() { # may FOLDER ALLOWED...: a file of src/FOLDER includes from these folders only
  folder=$1; shift
  [ -d "src/$folder" ] || return 0
  for used in $(grep -hoE '^#include "[a-z]+/' "src/$folder"/*.[ch] 2>/dev/null | sed 's/.*"//; s,/,,' | sort -u); do
    case " $* $folder " in *" $used "*) ;; *)
      grep -nE "^#include \"$used/" "src/$folder"/*.[ch] | sed "s,\$,   <- src/$folder may not include $used/,"; bad=1;;
    esac
  done
}
only() { # only HEADER PATTERN: the library header appears in files whose names match, and in no others
  for file in $(grep -rlE "^#include <($1)" src || true); do
    echo "$file" | grep -qE "^($2)" || { echo "$file: includes <$1>, which only $2 may"; bad=1; }
  done
}
may base
may schedule base
may journal base
may store base schedule journal
may request base schedule journal
may sweep base schedule journal store request
may command base schedule journal store request sweep
only 'libpq-fe\.h|postgresql/' 'src/store/pg'
only 'mongoc|bson'             'src/store/mongo'
only 'hiredis'                 'src/store/redis'
only 'libconfig'               'src/schedule/'
only 'ev\.h'                   'src/sweep/|src/lapsed\.c'
if grep -nE '^#include "store/(pg|mongo|redis)' src/sweep/* src/command/* src/schedule/* src/journal/* 2>/dev/null; then
  echo "only the programs name the stores"; bad=1
fi
if grep -nE '\b(strcpy|strcat|sprintf|vsprintf|strtok|gmtime|localtime|atoi|system)\(' -r src; then
  echo "banned function"; bad=1
fi
exit $bad
