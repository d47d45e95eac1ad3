//! What the answer to a query says.

use std::collections::BTreeMap;

use serde_json::Value;

/// The last moment with a value (seconds since 1970), by the values of the tags that were grouped by.
pub(super) type Seen = BTreeMap<Vec<String>, i64>;

/// Reads the answer of `GET /api/v1/query`: `{"series": [{"scope": "container_name:a,host:b", "pointlist": [[ms, value], …]}]}`.
pub(super) fn latest(answer: &Value, tags: &[&str]) -> Result<Seen, String> {
    if let Some(error) = answer.get("error").and_then(Value::as_str).filter(|error| !error.is_empty()) {
        return Err(format!("Datadog says: {error}"));
    }
    let all = answer.get("series").and_then(Value::as_array).ok_or("the answer has no series")?;
    let mut seen = Seen::new();
    for series in all {
        let scope = series.get("scope").and_then(Value::as_str).unwrap_or_default();
        let of = |tag: &&str| scope.split(',').find_map(|pair| pair.strip_prefix(*tag)?.strip_prefix(':')).map(str::to_owned);
        // What lacks a tag is not about one of them.
        let Some(key) = tags.iter().map(of).collect::<Option<Vec<String>>>() else { continue };
        let points = series.get("pointlist").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let with_value = points.iter().filter(|point| point.get(1).is_some_and(Value::is_number));
        let last = with_value.filter_map(|point| point.get(0)?.as_f64()).fold(f64::MIN, f64::max);
        if last > 0.0 {
            let at = (last / 1000.0) as i64;
            seen.entry(key).and_modify(|known| *known = at.max(*known)).or_insert(at);
        }
    }
    Ok(seen)
}

/// How long ago the last point was, in seconds; `None`: there was none.
pub(super) fn age(seen: &Seen, key: &[String], now: i64) -> Option<i64> {
    // A point may be of the interval that has just begun, a little ahead of a clock.
    seen.get(key).map(|at| (now - at).max(0))
}
