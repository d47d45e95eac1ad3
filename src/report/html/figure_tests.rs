use proptest::collection::vec;
use proptest::prelude::*;

use super::figure::{PAGE, Rect, fit, lines, text_width, tick_label, ticks};
use super::run::{End, Span, Work};
use super::{timeline, topology};
use crate::engine::Member;
use crate::lab::Flow;

#[test]
fn ticks_are_round_and_few() {
    assert_eq!(ticks(40.0, 10), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0]);
    assert_eq!(ticks(0.1, 10), [0.0, 0.1]);
    for seconds in [0.1, 0.7, 3.0, 59.0, 61.0, 3601.0, 90_000.0, 1e7] {
        let all = ticks(seconds, 10);
        assert!((2..=11).contains(&all.len()), "{seconds}: {all:?}");
        assert!(*all.last().unwrap() <= seconds * 1.001);
    }
    let labels: Vec<String> = [0.0, 0.5, 1.0, 90.0, 120.0, 4500.0, 7200.0].into_iter().map(tick_label).collect();
    assert_eq!(labels, ["0", "0.5 s", "1 s", "1:30 min", "2 min", "1:15 h", "2 h"]);
}

#[test]
fn texts_are_cut_to_their_room() {
    assert_eq!(fit("registry", 13.0, 100.0), "registry");
    assert_eq!(fit("a-very-long-name", 10.0, 50.0), "a-ver...");
    assert!(text_width(&fit("名前の長いホスト", 10.0, 50.0), 10.0) <= 50.0);
}

#[test]
fn texts_are_broken_where_they_have_joints() {
    assert_eq!(lines("192.168.156.112", 10.0, 62.0, 2), ["192.168.", "156.112"]);
    assert_eq!(lines("bastion-outside-network", 12.0, 62.0, 2), ["bastion-", "outsi..."]);
    assert_eq!(lines("averyveryverylongname", 12.0, 62.0, 2), ["averyver", "yvery..."]);
    assert_eq!(lines("gitlab", 12.0, 62.0, 2), ["gitlab"]);
}

fn no_two_overlap(boxes: &[Rect], what: &str) {
    for (at, one) in boxes.iter().enumerate() {
        for other in &boxes[at + 1..] {
            assert!(!one.overlaps(other), "{what}: {one:?} and {other:?}");
        }
    }
}

fn numbers(points: &str) -> Vec<(f64, f64)> {
    points.split(' ').map(|point| point.split_once(',').unwrap()).map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).collect()
}

fn check_topology(drawing: &topology::Topology) {
    let (width, height) = (drawing.width, drawing.height);
    let columns: Vec<Rect> = drawing.columns.iter().map(|column| column.rect).collect();
    no_two_overlap(&columns, "hosts");
    no_two_overlap(&drawing.rules.iter().map(|rule| rule.band).collect::<Vec<_>>(), "rules");
    let (in_boxes, at_rules) = topology::text_boxes(drawing);
    let texts: Vec<Rect> = in_boxes.iter().flatten().chain(&at_rules).copied().collect();
    no_two_overlap(&texts, "texts");
    for rect in columns.iter().chain(&texts) {
        assert!(rect.inside(width, height), "{rect:?} in {width} x {height}");
    }
    for (column, texts) in columns.iter().zip(&in_boxes) {
        let within = |text: &Rect| Rect { x: text.x - column.x, y: text.y - column.y, ..*text }.inside(column.w, column.h);
        assert!(texts.iter().all(within), "{texts:?} in {column:?}");
    }
    let first = columns.iter().map(|rect| rect.x).fold(width, f64::min);
    assert!(at_rules.iter().all(|text| text.x + text.w <= first), "texts of rules end where the arrows begin: {at_rules:?}");
    for rule in &drawing.rules {
        assert!(rule.from_x <= rule.to_x && rule.to_x <= width && rule.y < drawing.bottom);
        for (x, y) in rule.tips.iter().flat_map(|tip| numbers(tip)) {
            assert!(x >= first && x <= width && y > rule.band.y && y < rule.band.y + rule.band.h, "{x},{y} in {:?}", rule.band);
        }
    }
    let lowest = drawing.rules.iter().map(|rule| rule.band.y + rule.band.h).fold(0.0, f64::max);
    assert!(lowest <= drawing.bottom && drawing.legend_y < height);
}

fn members(names: &[String]) -> Vec<Member> {
    let member = |(name, n): (&String, usize)| Member { name: name.clone(), address: format!("192.168.156.{n}"), ..Member::default() };
    names.iter().zip(101..).map(member).collect()
}

#[test]
fn the_topology_of_1_to_24_hosts_has_no_overlaps() {
    for hosts in 1..=topology::MOST_HOSTS {
        let names: Vec<String> = (0..hosts).map(|n| format!("host-with-a-long-name-{n}")).collect();
        let flow = |to: &[String], from: &[String], operators: bool| Flow {
            to: to.to_vec(),
            ports: vec!["80/tcp".into(), "443/tcp".into()],
            from_hosts: from.to_vec(),
            from_operators: operators,
            why: "a purpose that takes many words to say, more than there is room for on the left of the drawing".into(),
            ..Flow::default()
        };
        let flows =
            [flow(&names, &[], true), flow(&names, &names, false), flow(&names[..1], &names, true), flow(&names, &names[..1], false)];
        let drawing = topology::lay_out(&members(&names), &["192.168.56.1/32".into(), "10.0.0.0/8".into()], &flows);
        check_topology(&drawing);
        assert_eq!(drawing.rules[0].tips.len(), hosts, "operators reach each host");
        assert_eq!(drawing.rules[1].dots.len(), if hosts == 1 { 0 } else { hosts }, "nobody is an arrow to themselves");
        assert_eq!(drawing.rules[1].tips.len(), (2 * hosts).saturating_sub(2), "those at the ends are reached from one side");
        if hosts <= 9 {
            assert!(drawing.width <= PAGE, "{hosts} hosts fit the page: {}", drawing.width);
        }
    }
}

/// An arrow points at whoever is reached, from the side of whoever may connect.
#[test]
fn arrows_point_the_right_way() {
    let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    let flow = |to: &str, from: &[&str]| Flow {
        to: vec![to.into()],
        ports: vec!["22/tcp".into()],
        from_hosts: from.iter().map(|name| (*name).to_owned()).collect(),
        ..Flow::default()
    };
    let drawing = topology::lay_out(&members(&names), &[], &[flow("b", &["a"]), flow("b", &["c"]), flow("b", &["a", "c"]), flow("b", &[])]);
    let [a, b, c] = [0, 1, 2].map(|column: usize| drawing.columns[column].cx);
    let heads = |rule: usize| drawing.rules[rule].tips.iter().map(|tip| (numbers(tip)[0].0, numbers(tip)[1].0)).collect::<Vec<_>>();
    assert!(heads(0).len() == 1 && heads(0)[0].0 == b && heads(0)[0].1 < b, "{:?}", heads(0));
    assert!(heads(1).len() == 1 && heads(1)[0].0 == b && heads(1)[0].1 > b, "{:?}", heads(1));
    assert_eq!(heads(2).len(), 2);
    assert_eq!((drawing.rules[2].dots.clone(), drawing.rules[2].from_x, drawing.rules[2].to_x), (vec![a, c], a, c));
    assert!(drawing.rules[3].tips.is_empty() && drawing.rules[3].from_x == drawing.rules[3].to_x, "nobody is allowed, nothing is drawn");
}

fn check_timeline(drawing: &timeline::Timeline) {
    no_two_overlap(&drawing.lanes.iter().map(|lane| Rect { x: 0.0, y: lane.y, w: PAGE, h: lane.height }).collect::<Vec<_>>(), "lanes");
    for lane in &drawing.lanes {
        assert!(8.0 + text_width(&lane.name, 12.0) <= drawing.left, "{lane:?}");
    }
    for bar in &drawing.bars {
        let lane = &drawing.lanes[bar.lane];
        assert!(bar.rect.inside(drawing.width, drawing.height) && bar.rect.x >= drawing.left - 0.05, "{bar:?}");
        assert!(bar.rect.y >= lane.y && bar.rect.y + bar.rect.h <= lane.y + lane.height, "{bar:?} in {lane:?}");
        assert!(bar.label.is_empty() || bar.text_x + text_width(&bar.label, 12.0) <= bar.rect.x + bar.rect.w, "{bar:?}");
        assert!(bar.marks.iter().all(|mark| *mark >= bar.rect.x && *mark <= bar.rect.x + bar.rect.w), "{bar:?}");
    }
    let mut end = 0.0;
    for tick in &drawing.ticks {
        let width = text_width(&tick.label, 12.0);
        let start = match tick.anchor {
            "start" => tick.x,
            "end" => tick.x - width,
            _ => tick.x - width / 2.0,
        };
        assert!(start >= end && start + width <= drawing.width + 0.05, "{tick:?} after {end}");
        end = start + width;
    }
}

fn span(lane: &str, start: f64, length: f64, how: End) -> Span {
    let marks = vec![start + length / 3.0, start + length / 2.0];
    Span { lane: lane.to_owned(), work: Work::Role, label: "firewall".to_owned(), start, end: start + length, how, marks }
}

#[test]
fn roles_without_a_moment_between_them_can_all_be_seen() {
    let spans: Vec<Span> = (0..5).map(|n| span("a", f64::from(n) * 0.001, 0.001, End::Good)).collect();
    let drawing = timeline::lay_out(&["a"], &spans, 100.0, 0);
    no_two_overlap(&drawing.bars.iter().map(|bar| bar.rect).collect::<Vec<_>>(), "bars");
    check_timeline(&drawing);
}

proptest! {
    #[test]
    fn any_topology_stays_in_its_canvas(
        names in prop::collection::hash_set("[a-z0-9-]{1,63}", 1..20),
        rules in vec((vec(0usize..20, 0..20), vec(0usize..20, 0..20), any::<(bool, bool, bool)>(), "\\PC{0,80}"), 0..12),
        operators in vec("[0-9./]{1,18}", 0..4),
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let some = |picks: &[usize]| picks.iter().filter_map(|pick| names.get(*pick).cloned()).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        let flows: Vec<Flow> = rules.iter().map(|(to, from, (operators, any, published), why)| Flow {
            to: some(to),
            ports: to.iter().map(|port| format!("{}/tcp", port + 1)).collect(),
            from_hosts: some(from),
            from_networks: from.iter().take(2).map(|n| format!("10.{n}.0.0/16")).collect(),
            from_operators: *operators,
            from_any: *any,
            published: *published,
            why: why.clone(),
        }).collect();
        check_topology(&topology::lay_out(&members(&names), &operators, &flows));
    }

    #[test]
    fn any_timeline_stays_in_its_canvas(
        lanes in prop::collection::hash_set("\\PC{0,80}", 1..20),
        spans in vec((0usize..20, 0.0f64..1e5, 0.0f64..1e5, any::<bool>()), 0..40),
        seconds in 0.0f64..2e5,
    ) {
        let lanes: Vec<String> = lanes.into_iter().collect();
        let names: Vec<&str> = lanes.iter().map(String::as_str).collect();
        let spans: Vec<Span> = spans.into_iter()
            .map(|(lane, start, length, bad)| span(names[lane % names.len()], start, length, if bad { End::Bad } else { End::Good }))
            .collect();
        check_timeline(&timeline::lay_out(&names, &spans, seconds, 0));
    }
}
