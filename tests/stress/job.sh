# What a job of the stress test does; its arguments say it for each of its attempts in turn.
# The lock is inherited by all that the job starts, so the next attempt meets whatever is left.
id=$LORCHESTRA_JOB_ID
attempt=$LORCHESTRA_ATTEMPT
exec 9>"locks/$id"
flock -n 9 || { echo "$id $attempt" >> clashes; exit 99; }
echo "begin $attempt $LORCHESTRA_IDEMPOTENCY_KEY" >> "did/$id"
# Of each limit that it holds it takes a place, which must be there: others come and go meanwhile.
for limit in $HOLDS; do
  name=${limit%=*} capacity=${limit#*=} tries=0 place=
  while [ -z "$place" ] && [ $tries -lt 50 ]; do
    for n in $(seq "$capacity"); do
      exec 8>"$name/$n"
      flock -n 8 && { place=$n; break; }
    done
    tries=$((tries + 1))
    [ -n "$place" ] || sleep 0.01
  done
  [ -n "$place" ] || { echo "$id $attempt: more than $limit" >> clashes; exit 98; }
  case $name in ours) exec 7>&8 ;; theirs) exec 6>&8 ;; esac
done
i=1
while [ $i -lt "$attempt" ] && [ $# -gt 0 ]; do
  shift
  i=$((i + 1))
done
case ${1:-ok} in
  ok) ;;
  nap) sleep 0.1 ;;
  talk) for n in 1 2 3 4 5 6 7 8; do echo "line $n of $id"; done ;;
  fail) exit 1 ;;
  again) exit 75 ;;
  hang) sleep 3 ;;
  deaf) trap '' TERM INT; sleep 3 ;;
  tree) setsid sleep 3 & sleep 3; wait ;;
esac
echo "{\"attempt\": $attempt$MORE_OUTPUT}" > "$LORCHESTRA_OUTPUT"
echo "end $attempt" >> "did/$id"
