-- name: zones
SELECT id AS __value, CASE WHEN ${lang:sqlstring} = 'uk' THEN name_uk ELSE name_en END AS __text FROM zone ORDER BY 2;

-- name: contractors
SELECT id AS __value, CASE WHEN ${lang:sqlstring} = 'uk' THEN name_uk ELSE name_en END AS __text
FROM contractor ORDER BY 2;

-- name: buildings
SELECT id AS __value, CASE WHEN ${lang:sqlstring} = 'uk' THEN name_uk ELSE name_en END AS __text
FROM site WHERE kind = 'building' AND NOT retired ORDER BY 2;

-- name: fractions
SELECT DISTINCT fraction AS __value, fraction AS __text FROM point_place WHERE kind = 'bin' ORDER BY 1;

-- name: bins
SELECT code AS __value, CASE WHEN ${lang:sqlstring} = 'uk' THEN name_uk ELSE name_en END AS __text
FROM point_place
WHERE kind = 'bin' AND zone_id IN (${zone:sqlstring}) AND fraction IN (${fraction:sqlstring})
  AND contractor_id IN (${contractor:sqlstring})
ORDER BY 2;
