# What a job of the stress test does; its arguments say it for each of its attempts in turn.
# The lock is inherited by all that the job starts, so the next attempt meets whatever is left.
id=$LORCHESTRA_JOB_ID
attempt=$LORCHESTRA_ATTEMPT
exec 9>"locks/$id"
flock -n 9 || { echo "$id $attempt" >> clashes; exit 99; }
echo "begin $attempt $LORCHESTRA_IDEMPOTENCY_KEY" >> "did/$id"
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
echo "{\"attempt\": $attempt}" > "$LORCHESTRA_OUTPUT"
echo "end $attempt" >> "did/$id"
