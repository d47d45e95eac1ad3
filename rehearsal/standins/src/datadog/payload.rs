//! What an agent sends: metrics as protocol buffers (`/api/v2/series`), compressed by zlib, or as JSON.
//!
//! Written after DataDog/agent-payload, proto/metrics/agent_payload.proto (MetricPayload).

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::ZlibEncoder;
use prost::Message;
use serde_json::Value;

/// All that one request brings.
#[derive(Clone, PartialEq, Message)]
pub struct MetricPayload {
    /// Its series.
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<MetricSeries>,
}

/// One metric with its points.
#[derive(Clone, PartialEq, Message)]
pub struct MetricSeries {
    /// What it is about: the host.
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<Resource>,
    /// Its name.
    #[prost(string, tag = "2")]
    pub metric: String,
    /// `key:value`
    #[prost(string, repeated, tag = "3")]
    pub tags: Vec<String>,
    /// Its points.
    #[prost(message, repeated, tag = "4")]
    pub points: Vec<MetricPoint>,
    /// 0 unspecified, 1 count, 2 rate, 3 gauge.
    #[prost(int32, tag = "5")]
    pub kind: i32,
    /// Its unit.
    #[prost(string, tag = "6")]
    pub unit: String,
    /// Where it comes from, e.g. `System`.
    #[prost(string, tag = "7")]
    pub source_type_name: String,
    /// Seconds between points.
    #[prost(int64, tag = "8")]
    pub interval: i64,
}

/// What a series is about.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// `host`
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// A value at a moment.
#[derive(Clone, PartialEq, Message)]
pub struct MetricPoint {
    /// The value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Seconds since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// As it travels: protocol buffers, by zlib.
pub fn pack(payload: &MetricPayload) -> std::io::Result<Vec<u8>> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&payload.encode_to_vec())?;
    packed.finish()
}

/// The body of a request without its compression.
pub fn unpack(encoding: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let read = match encoding {
        "" | "identity" => return Ok(body.to_vec()),
        "deflate" => ZlibDecoder::new(body).read_to_end(&mut plain),
        "gzip" => GzDecoder::new(body).read_to_end(&mut plain),
        other => return Err(format!("Content-Encoding {other} is not known (of the rehearsal's intake)")),
    };
    read.map(|_| plain).map_err(|why| format!("the body cannot be unpacked: {why}"))
}

/// A metric of a host, whatever format it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// `key:value`, with `host:NAME`.
    pub tags: Vec<String>,
    /// Seconds since 1970, and value.
    pub points: Vec<(i64, f64)>,
}

/// Metrics of `/api/v2/series`.
pub fn metrics(body: &[u8]) -> Result<Vec<Metric>, String> {
    let payload = MetricPayload::decode(body).map_err(|why| format!("the body is no MetricPayload: {why}"))?;
    let one = |series: MetricSeries| {
        let hosts = series.resources.iter().filter(|resource| resource.kind == "host").map(|resource| format!("host:{}", resource.name));
        Metric {
            name: series.metric,
            tags: hosts.chain(series.tags.clone()).collect(),
            points: series.points.iter().map(|point| (point.timestamp, point.value)).collect(),
        }
    };
    Ok(payload.series.into_iter().map(one).collect())
}

/// Metrics of `/api/v1/series`: `{"series": [{"metric", "points": [[at, value]], "tags", "host"}]}`.
pub fn metrics_v1(body: &[u8]) -> Result<Vec<Metric>, String> {
    let value: Value = serde_json::from_slice(body).map_err(|why| format!("the body is no JSON: {why}"))?;
    let all = value.get("series").and_then(Value::as_array).ok_or("the body has no series")?;
    let one = |series: &Value| {
        let host = series["host"].as_str().map(|host| format!("host:{host}"));
        let tags = series["tags"].as_array().into_iter().flatten().filter_map(|tag| tag.as_str().map(str::to_owned));
        let points = series["points"].as_array().into_iter().flatten();
        Metric {
            name: series["metric"].as_str().unwrap_or_default().to_owned(),
            tags: host.into_iter().chain(tags).collect(),
            points: points.filter_map(|point| Some((point.get(0)?.as_f64()? as i64, point.get(1)?.as_f64()?))).collect(),
        }
    };
    Ok(all.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_packed_is_read_again() {
        let series = MetricSeries {
            resources: vec![Resource { kind: "host".into(), name: "a.lab".into() }],
            metric: "system.cpu.user".into(),
            tags: vec!["lab:x".into()],
            points: vec![MetricPoint { value: 1.5, timestamp: 1_800_000_000 }],
            kind: 3,
            interval: 15,
            ..MetricSeries::default()
        };
        let packed = pack(&MetricPayload { series: vec![series] }).unwrap();
        let read = metrics(&unpack("deflate", &packed).unwrap()).unwrap();
        let want =
            Metric { name: "system.cpu.user".into(), tags: vec!["host:a.lab".into(), "lab:x".into()], points: vec![(1_800_000_000, 1.5)] };
        assert_eq!(read, std::slice::from_ref(&want));
        let json = br#"{"series":[{"metric":"system.cpu.user","host":"a.lab","tags":["lab:x"],"points":[[1800000000,1.5]]}]}"#;
        assert_eq!(metrics_v1(json).unwrap(), [want]);
    }

    /// The bytes of one series by hand, after the encoding's definition: field number and wire type, length, content.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        let series = [b"\x12\x01m".as_slice(), b"\x22\x0b\x09\0\0\0\0\0\0\xf8\x3f\x10\x05"].concat();
        let bytes = [[0x0a, series.len() as u8].as_slice(), series.as_slice()].concat();
        assert_eq!(metrics(&bytes).unwrap(), [Metric { name: "m".into(), tags: vec![], points: vec![(5, 1.5)] }]);
    }

    #[test]
    fn what_is_no_metric_is_refused() {
        assert!(unpack("zstd", b"x").unwrap_err().contains("zstd"));
        assert!(unpack("deflate", b"not zlib").is_err());
        assert!(metrics(b"\xff\xff").is_err() && metrics_v1(b"{}").is_err());
    }
}
