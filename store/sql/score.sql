-- name: alerts
-- Without those that late data took back.
SELECT e.rule_id, p.code, e.breached_at, e.fired_at, e.resolved_at
FROM alert_episode AS e JOIN point AS p USING (point_id)
WHERE e.fired_at < %(end)s AND (e.resolved_at IS NULL OR e.resolved_at >= %(begin)s)
  AND e.state <> 'retracted'
ORDER BY e.fired_at;
