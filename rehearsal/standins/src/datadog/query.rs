//! Queries as the lab makes them: `avg:system.cpu.user{host:a,lab:b} by {host}`; and the points that they are asked of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::payload::Metric;

/// Seconds that points are kept.
const KEPT: i64 = 3600;

/// A metric's name and its tags, in order.
type Key = (String, Vec<String>);

/// All points, by metric and its tags.
#[derive(Default)]
pub struct Points(BTreeMap<Key, VecDeque<(i64, f64)>>);

impl Points {
    /// Takes what came; what is too old goes.
    pub fn take(&mut self, metrics: Vec<Metric>, now: i64) {
        for metric in metrics {
            let mut tags = metric.tags;
            tags.sort();
            self.0.entry((metric.name, tags)).or_default().extend(metric.points);
        }
        self.0.retain(|_, points| {
            points.retain(|(at, _)| *at > now - KEPT);
            !points.is_empty()
        });
    }

    /// The last moment at which a host sent anything.
    pub fn last_of_hosts(&self) -> BTreeMap<String, i64> {
        let mut last = BTreeMap::new();
        for ((_, tags), points) in &self.0 {
            let host = tags.iter().find_map(|tag| tag.strip_prefix("host:"));
            if let (Some(host), Some(at)) = (host, points.iter().map(|(at, _)| *at).max()) {
                last.entry(host.to_owned()).and_modify(|known: &mut i64| *known = at.max(*known)).or_insert(at);
            }
        }
        last
    }

    /// The answer to a query, as `GET /api/v1/query` gives it.
    pub fn answer(&self, text: &str, from: i64, to: i64) -> Result<Value, String> {
        let query = Query::parse(text)?;
        let mut groups: BTreeMap<Vec<String>, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
        for ((metric, tags), points) in &self.0 {
            if *metric != query.metric || !query.filter.iter().all(|wanted| tags.contains(wanted)) {
                continue;
            }
            let of = |tag: &String| {
                tags.iter().find(|known| known.strip_prefix(tag.as_str()).is_some_and(|rest| rest.starts_with(':'))).cloned()
            };
            let Some(key) = query.by.iter().map(of).collect::<Option<Vec<_>>>() else { continue };
            let group = groups.entry(key).or_default();
            for (at, value) in points.iter().filter(|(at, _)| (from..=to).contains(at)) {
                group.entry(*at).or_default().push(*value);
            }
        }
        let series = groups.into_iter().filter(|(_, points)| !points.is_empty()).map(|(tags, points)| {
            let points: Vec<Value> = points.into_iter().map(|(at, values)| json!([at * 1000, query.aggregate.of(&values)])).collect();
            let scope = if tags.is_empty() { query.scope() } else { tags.join(",") };
            json!({
                "metric": query.metric, "display_name": query.metric, "scope": scope, "tag_set": tags, "expression": text, "aggr": "avg",
                "interval": 1, "length": points.len(), "pointlist": points,
            })
        });
        Ok(json!({
            "status": "ok", "res_type": "time_series", "resp_version": 1, "query": text, "from_date": from * 1000, "to_date": to * 1000,
            "series": series.collect::<Vec<_>>(), "group_by": query.by, "values": [], "times": [], "message": "",
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Avg,
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, values: &[f64]) -> f64 {
        match self {
            Aggregate::Avg => values.iter().sum::<f64>() / values.len().max(1) as f64,
            Aggregate::Sum => values.iter().sum(),
            Aggregate::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Aggregate::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Query {
    aggregate: Aggregate,
    metric: String,
    filter: BTreeSet<String>,
    by: Vec<String>,
}

impl Query {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("Error parsing query: unable to parse {text}: Rule 'scope_expr' didn't match (of the rehearsal's intake)");
        let (aggregate, rest) = text.split_once(':').ok_or_else(wrong)?;
        let aggregate = match aggregate {
            "avg" => Aggregate::Avg,
            "sum" => Aggregate::Sum,
            "min" => Aggregate::Min,
            "max" => Aggregate::Max,
            _ => return Err(wrong()),
        };
        let (metric, rest) = rest.split_once('{').ok_or_else(wrong)?;
        let (filter, rest) = rest.split_once('}').ok_or_else(wrong)?;
        let words = |text: &str| text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect::<Vec<_>>();
        let by = match rest.trim() {
            "" => Vec::new(),
            rest => words(rest.strip_prefix("by").and_then(|rest| rest.trim().strip_prefix('{')?.strip_suffix('}')).ok_or_else(wrong)?),
        };
        let plain = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if metric.is_empty() || !plain(metric) {
            return Err(wrong());
        }
        let filter = words(filter).into_iter().filter(|word| word != "*").collect::<BTreeSet<_>>();
        if !filter.iter().all(|word| word.contains(':')) {
            return Err(wrong());
        }
        Ok(Self { aggregate, metric: metric.to_owned(), filter, by })
    }

    fn scope(&self) -> String {
        if self.filter.is_empty() { "*".to_owned() } else { self.filter.iter().cloned().collect::<Vec<_>>().join(",") }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn points() -> Points {
        let mut points = Points::default();
        let metric = |host: &str, container: Option<&str>, at: i64, value: f64| Metric {
            name: "m.x".into(),
            tags: [format!("host:{host}")].into_iter().chain(container.map(|name| format!("container_name:{name}"))).collect(),
            points: vec![(at, value)],
        };
        points.take(vec![metric("a", Some("api"), 100, 1.0), metric("a", Some("web"), 100, 3.0), metric("b", None, 90, 5.0)], 110);
        points
    }

    #[test]
    fn groups_and_filters() {
        let points = points();
        let ask = |query: &str| points.answer(query, 50, 110).unwrap()["series"].clone();
        let by_host = ask("avg:m.x{*} by {host}");
        assert_eq!((by_host[0]["scope"].as_str().unwrap(), &by_host[0]["pointlist"]), ("host:a", &json!([[100_000, 2.0]])));
        assert_eq!(by_host.as_array().unwrap().len(), 2);
        let both = ask("sum:m.x{*} by {host,container_name}");
        assert_eq!((both.as_array().unwrap().len(), both[1]["scope"].as_str().unwrap()), (2, "host:a,container_name:web"));
        assert_eq!(ask("avg:m.x{host:b}")[0]["pointlist"], json!([[90_000, 5.0]]));
        assert_eq!(ask("avg:m.x{host:nobody}"), json!([]));
        assert_eq!(points.answer("avg:m.x{*}", 101, 110).unwrap()["series"], json!([]));
        assert_eq!(points.last_of_hosts(), BTreeMap::from([("a".to_owned(), 100), ("b".to_owned(), 90)]));
    }

    /// Two labs in one account with hosts of the same name.
    #[test]
    fn the_tag_of_a_lab_tells_it_from_others() {
        let mut points = Points::default();
        let metric =
            |lab: &str, at| Metric { name: "m".into(), tags: vec!["host:a".into(), format!("lab:{lab}")], points: vec![(at, 1.0)] };
        points.take(vec![metric("one", 60), metric("two", 100)], 110);
        let last = |query: &str| points.answer(query, 50, 110).unwrap()["series"][0]["pointlist"].as_array().cloned();
        assert_eq!(last("avg:m{lab:one} by {host}"), Some(vec![json!([60_000, 1.0])]));
        assert_eq!(last("avg:m{lab:three} by {host}"), None);
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for text in ["m.x", "avg:m.x", "avg:m x{*}", "avg:m.x{nonsense}", "avg:m.x{*} by host", "p95:m.x{*}"] {
            assert!(points().answer(text, 0, 1).unwrap_err().contains("unable to parse"), "{text}");
        }
    }

    #[test]
    fn old_points_go() {
        let mut points = points();
        points.take(Vec::new(), 100 + KEPT);
        assert!(points.0.is_empty());
    }
}
