//! Saved plans: what is in the file, what is read back, and that nothing that differs goes unnamed.

use crate::build::*;
use crate::views::rich;
use gitsync::model::*;
use gitsync::plan::{Saved, SavedError, differences, other_commit, saved_schema, unlike};
use proptest::prelude::*;
use serde_json::{Value, json};

fn saved(scene: &Scene) -> Saved {
    let mut observed = scene.observed.clone();
    for (node, state) in &mut observed.nodes {
        if let NodeState::Reachable(report) = state {
            report.node_id = format!("{node}-id");
        }
    }
    Saved::new(scene.plan(), &observed)
}

fn value(saved: &Saved) -> Value {
    serde_json::to_value(saved).unwrap()
}

#[test]
fn saved_plan_reads_back_as_it_was_and_is_the_same_text_each_time() {
    let plan = saved(&rich());
    let text = plan.text().unwrap();
    assert_eq!(Saved::parse(&text).unwrap(), plan);
    assert_eq!(saved(&rich()).text().unwrap(), text);
    let indented_anew = serde_json::to_string(&value(&plan)).unwrap();
    assert_eq!(Saved::parse(&indented_anew).unwrap(), plan);
    assert_eq!(differences(&plan, &plan), [""; 0]);
}

#[test]
fn written_plan_is_what_its_schema_says() {
    let validator = jsonschema::validator_for(&saved_schema()).unwrap();
    let good = value(&saved(&rich()));
    let errors: Vec<String> = validator.iter_errors(&good).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    let bad = [
        ("/version", json!(2)),
        ("/format", json!("tar")),
        ("/plan/release", json!("abc")),
        ("/plan/waves/0/steps/0/action", json!("run")),
        ("/plan/waves/0/steps/0/command", json!("reboot")),
        ("/plan/fleet", json!("No Name")),
    ];
    for (pointer, new) in bad {
        let mut other = good.clone();
        let (place, key) = pointer.rsplit_once('/').unwrap();
        other.pointer_mut(place).unwrap()[key] = new;
        assert!(!validator.is_valid(&other), "{pointer}");
    }
}

/// Every place of a value, containers included.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            places(value, &format!("{path}/{key}"), found);
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(n, value)| places(value, &format!("{path}/{n}"), found)),
        _ => {}
    }
}

/// Other values that could stand in a place, all but one of them of the same type.
fn others(value: &Value) -> Vec<Value> {
    let mut others = match value {
        Value::Null => vec![json!("5s"), json!(7), json!(format!("{:064}", 7))],
        Value::Bool(value) => vec![json!(!value)],
        Value::Number(number) => vec![json!(number.as_u64().unwrap() + 1)],
        Value::String(text) => vec![
            json!(format!("{text}0")),
            json!(format!("{text} ")),
            json!(text.replacen(['1', '2'], "3", 1)),
            json!(text.replace("service", "bundle")),
            json!("vps9/service.evil"),
        ],
        Value::Array(items) => {
            let mut all = vec![items.iter().rev().cloned().collect()];
            for n in 0..items.len() {
                let (mut less, mut more) = (items.clone(), items.clone());
                less.remove(n);
                more.push(items[n].clone());
                all.extend([Value::Array(less), Value::Array(more)]);
            }
            all
        }
        Value::Object(map) => {
            let less = map.keys().map(|gone| {
                let kept = map.iter().filter(|(key, _)| *key != gone);
                Value::Object(kept.map(|(k, v)| (k.clone(), v.clone())).collect())
            });
            let mut more = map.clone();
            more.insert("vps9/service.evil".into(), json!(format!("{:064}", 7)));
            less.chain([Value::Object(more)]).collect()
        }
    };
    others.push(Value::Null);
    others.retain(|other| other != value);
    others
}

/// Whether a changed file is refused, and what is told of it. None: taken for the same plan.
fn verdict(changed: &Value, now: &Saved) -> Option<Vec<String>> {
    match Saved::parse(&changed.to_string()) {
        Err(error) => Some(vec![error.to_string()]),
        Ok(read) => Some(differences(&read, now)).filter(|words| !words.is_empty()),
    }
}

/// Insists that whatever single thing is changed in a saved plan, the plan is refused and the thing is named.
fn every_change_is_named(now: &Saved, places: impl Iterator<Item = String>) -> usize {
    let good = value(now);
    let mut tried = 0;
    for place in places {
        // Why a node takes no part is told in other words each time.
        if place.starts_with("/plan/skipped/") && place.ends_with("/reason") {
            continue;
        }
        for other in others(good.pointer(&place).unwrap()) {
            let mut changed = good.clone();
            *changed.pointer_mut(&place).unwrap() = other.clone();
            let Some(words) = verdict(&changed, now) else {
                panic!("{place} as {other} goes unnoticed")
            };
            let step = place.split('/').take(6).collect::<Vec<_>>().join("/");
            if let Some(unit) = good.pointer(&format!("{step}/unit")).and_then(Value::as_str) {
                let parsed = Saved::parse(&changed.to_string()).is_ok();
                let named = words.iter().any(|word| word.contains(unit));
                assert!(named || !parsed, "{place} as {other}: {unit} is not in {words:?}");
            }
            assert!(!words.contains(&"the plans differ".to_owned()), "{place} as {other}");
            tried += 1;
        }
    }
    tried
}

#[test]
fn every_single_change_of_a_saved_plan_is_refused_and_named() {
    let now = saved(&rich());
    let mut all = Vec::new();
    places(&value(&now), "", &mut all);
    let tried = every_change_is_named(&now, all.into_iter());
    assert!(tried > 1500, "{tried}");
}

fn made() -> impl Strategy<Value = (Vec<(u8, u8, u8)>, Vec<prop::sample::Index>)> {
    let units = prop::collection::vec((0..3u8, 0..4u8, 0..3u8), 1..8);
    (units, prop::collection::vec(any::<prop::sample::Index>(), 1..20))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_changed_in_whatever_plan_is_refused_and_named((units, picks) in made()) {
        let of = |version: fn(&(u8, u8, u8)) -> u8| {
            let unit = move |(n, seed): (usize, &(u8, u8, u8))| {
                unit(&format!("n{}/service.s{n}", seed.0), &version(seed).to_string())
            };
            units.iter().enumerate().filter(|(_, s)| version(s) > 0).map(unit).collect::<Vec<_>>()
        };
        let scene = scene(of(|seed| seed.1), of(|seed| seed.2));
        let now = saved(&scene);
        prop_assert_eq!(differences(&now, &saved(&scene)), Vec::<String>::new());
        let mut all = Vec::new();
        places(&value(&now), "", &mut all);
        every_change_is_named(&now, picks.iter().map(|pick| pick.get(&all).clone()));
    }
}

/// Changes a scene and says what differs.
fn after(change: impl FnOnce(&mut Scene)) -> Vec<String> {
    let before = saved(&rich());
    let mut scene = rich();
    change(&mut scene);
    differences(&before, &saved(&scene))
}

#[track_caller]
fn says(words: &[String], wanted: &str) {
    assert!(words.iter().any(|word| word.contains(wanted)), "no `{wanted}` in {words:#?}");
}

#[test]
fn what_differs_is_told_in_words() {
    let words = after(|scene| {
        let other = unit("vps1/service.organizr", "7").digest();
        let report = scene.report("vps1").units.get_mut(&id("vps1/service.organizr")).unwrap();
        report.current = Some(other);
    });
    says(&words, "vps1/service.organizr runs ");
    says(&words, " now; the plan is from ");
    let words = after(|scene| scene.policy.max_parallel = 1);
    assert_eq!(words, ["policy: max parallel is 1 now; in the plan 4"]);
    let words = after(|scene| drop(scene.release.units.remove(&id("unraid/bundle.mcp"))));
    says(&words, "unraid/bundle.mcp is not wanted now; in the plan it is");
    says(&words, "a step of the plan is gone: + unraid/bundle.mcp in wave ");
    let words = after(|scene| {
        let unit = unit("vps2/service.more", "1");
        scene.release.units.insert(unit.id.clone(), unit);
    });
    says(&words, "vps2/service.more is wanted now; in the plan it isn't");
    says(&words, "a step more now: + vps2/service.more in wave ");
    let words = after(|scene| {
        let pi = as_answering(scene, "vps2");
        scene.observed.nodes.insert(name("pi"), pi);
    });
    says(&words, "pi takes part now; in the plan it doesn't");
    let words = after(|scene| scene.nodes.get_mut(&name("unraid")).unwrap().boot_cover = true);
    says(&words, "a warning of the plan is gone: unraid has no cover across a reboot");
    says(&words, "[no-reboot-cover]");
}

fn as_answering(scene: &Scene, like: &str) -> NodeState {
    let NodeState::Reachable(report) = &scene.observed.nodes[&name(like)] else { panic!() };
    let report = NodeReport { units: Default::default(), ..(**report).clone() };
    NodeState::Reachable(Box::new(report))
}

#[test]
fn another_machine_at_the_same_address_is_told() {
    let before = saved(&rich());
    let mut now = before.clone();
    now.node_ids.insert(name("vps1"), "ffff".into());
    let words = "vps1 is another machine: its node-id is “ffff” now; in the plan “vps1-id”";
    assert_eq!(differences(&before, &now), [words]);
}

#[test]
fn order_waves_and_waits_are_told() {
    let before = saved(&rich());
    let tell = |change: fn(&mut Plan)| {
        let mut now = before.clone();
        change(&mut now.plan);
        differences(&before, &now)
    };
    says(
        &tell(|plan| plan.waves.iter_mut().for_each(|w| w.steps.reverse())),
        "in another order now",
    );
    says(&tell(|plan| plan.waves.swap(0, 1)), " now; in the plan in wave ");
    says(
        &tell(|plan| plan.waves.iter_mut().for_each(|w| w.gate = None)),
        " waits for nothing now; in the plan 35s for ",
    );
    let words = tell(|plan| plan.waves[0].steps[0].action = Action::Remove);
    says(&words, ": action is “remove” now; in the plan “");
    let words = tell(|plan| {
        let file = plan.waves.iter_mut().flat_map(|w| &mut w.steps).flat_map(|s| &mut s.files);
        file.for_each(|file| file.diff = file.diff.as_ref().map(|diff| format!("{diff}+evil\n")));
    });
    says(&words, "compose.yaml: diff is “");
    says(&words, "+evil\\n” now; in the plan “");
}

#[test]
fn why_a_sleeping_node_does_not_answer_is_no_difference() {
    let words = after(|scene| {
        let state = NodeState::Unreachable("connection timed out".into());
        scene.observed.nodes.insert(name("pi"), state);
    });
    assert_eq!(words, [""; 0]);
}

#[test]
fn commit_and_rendering_are_told_before_any_node_is_asked() {
    let scene = rich();
    let plan = saved(&scene);
    let id = &plan.plan.commit.as_ref().unwrap().id;
    assert_eq!(other_commit(&plan, Some(id)), None);
    let other = "ffffffffffffffffffffffffffffffffffffffff";
    let words = "HEAD is commit ffffffffffff; the plan is of commit 1a2b3c4d5e6f";
    assert_eq!(other_commit(&plan, Some(other)).as_deref(), Some(words));
    let words = "HEAD is no commit; the plan is of commit 1a2b3c4d5e6f";
    assert_eq!(other_commit(&plan, None).as_deref(), Some(words));
    assert_eq!(unlike(&plan, &name("homelab"), &scene.release), [""; 0]);
    let words = ["this is the fleet other; the plan is for homelab"];
    assert_eq!(unlike(&plan, &name("other"), &scene.release), words);
    let mut release = scene.release.clone();
    let changed = unit("vps1/service.organizr", "9");
    let digest = changed.digest();
    release.units.insert(changed.id.clone(), changed);
    let words = unlike(&plan, &name("homelab"), &release);
    let wanted =
        format!("vps1/service.organizr is rendered as {} now; in the plan as ", digest.short());
    assert!(words.len() == 1 && words[0].starts_with(&wanted), "{words:?}");
    let mut tampered = plan.clone();
    tampered.plan.release = Digest("f".repeat(64));
    let words = unlike(&tampered, &name("homelab"), &scene.release);
    assert!(words.len() == 1 && words[0].ends_with("in the plan ffffffffffff"), "{words:?}");
}

#[test]
fn no_part_of_a_sensitive_file_is_in_a_saved_plan() {
    let scene = |version: &str| {
        unit("vps1/service.plex", version).with(|unit| {
            let content = format!("hunter2-{version}\n");
            unit.artifacts.push(Artifact {
                sensitive: true,
                mode: 0o600,
                content: Content::Bytes(content.into_bytes()),
                ..file("/opt/stacks/service-plex/token", version)
            });
        })
    };
    let text = saved(&crate::build::scene([scene("1")], [scene("2")])).text().unwrap();
    assert!(text.contains("/opt/stacks/service-plex/token") && !text.contains("hunter2"), "{text}");
    for version in ["1", "2"] {
        let digest = sha256_hex(format!("hunter2-{version}\n").as_bytes());
        assert!(!text.contains(&digest), "the hash of the content: {text}");
    }
    let plan = Saved::parse(&text).unwrap().plan;
    let file = plan.waves[0].steps[0].files.iter().find(|file| file.sensitive).unwrap();
    assert_eq!((file.kind, &file.diff), (FileChangeKind::Changed, &None));
}

#[test]
fn keys_that_nobody_knows_and_keys_that_are_left_out_are_refused_with_their_place() {
    let good = value(&saved(&rich()));
    let mut more = good.clone();
    more["plan"]["waves"][0]["steps"][0]["run"] = json!("reboot");
    let unknown = SavedError::Unknown("plan.waves[0].steps[0].run".into());
    assert_eq!(Saved::parse(&more.to_string()), Err(unknown));
    let mut less = good.clone();
    less["plan"]["waves"][0].as_object_mut().unwrap().remove("gate");
    let missing = SavedError::Missing("plan.waves[0].gate".into());
    assert_eq!(Saved::parse(&less.to_string()), Err(missing));
    let mut other = good.clone();
    other["plan"]["policy"]["dead_man"] = json!("60s");
    let otherwise = SavedError::Otherwise("plan.policy.dead_man".into());
    assert_eq!(Saved::parse(&other.to_string()), Err(otherwise));
    let text = good.to_string();
    let twice = text.replacen("\"dirty\":false", "\"dirty\":true,\"dirty\":false", 1);
    assert!(matches!(Saved::parse(&twice), Err(SavedError::Wrong(_))));
    for end in (0..text.len()).step_by(41) {
        if text.is_char_boundary(end) {
            assert_eq!(Saved::parse(&text[..end]), Err(SavedError::CutShort), "{end}");
        }
    }
}
