-- name: alerts
-- Without those that late data took back: their last transition says so.
SELECT e.rule_id, p.code, e.breached_at, e.fired_at, e.resolved_at
FROM alert_episode AS e JOIN point AS p USING (point_id)
WHERE e.fired_at < %(end)s AND (e.resolved_at IS NULL OR e.resolved_at >= %(begin)s)
  AND (SELECT t.reason FROM alert_transition AS t WHERE t.episode_id = e.episode_id
       ORDER BY t.transition_id DESC LIMIT 1) NOT LIKE 'late data: the condition did not hold%%'
ORDER BY e.fired_at;
