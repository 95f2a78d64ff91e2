/** What JSON cannot say stands as an object with one key, `$` and the type's name. */
function revived(value) {
  if (Array.isArray(value)) return value.map(revived);
  if (value === null || typeof value !== "object") return value;
  if ("$date" in value) return new Date(value.$date);
  if ("$number" in value) return { nan: NaN, inf: Infinity, "-inf": -Infinity }[value.$number];
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, revived(one)]));
}

if (typeof module !== "undefined") module.exports = { revived };
