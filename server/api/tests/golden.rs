//! Every request, reply and problem as it stands in JSON, against the committed files under `golden/`.
//!
//! `PAYRIG_RENEW_GOLDEN=1 cargo test -p payrig-api --test golden` writes them anew; what then changes in git is a change
//! of the contract and is to be looked at as one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod samples;

use std::{fs, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

fn path_of(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(format!("{name}.json"))
}

/// Compares with the file, or writes it where that is asked for. Returns what the file holds.
fn golden(name: &str, text: &str) -> String {
    let path = path_of(name);
    if std::env::var_os("PAYRIG_RENEW_GOLDEN").is_some_and(|value| !value.is_empty()) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; see tests/golden.rs", path.display()))
}

/// The value is written exactly as in the file, and the file is read as the value.
fn written_and_read<T: Serialize + DeserializeOwned>(name: &str, value: &T) {
    let text = format!("{}\n", serde_json::to_string_pretty(value).unwrap());
    let file = golden(name, &text);
    let structure: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(serde_json::to_value(value).unwrap(), structure, "{name}: another structure");
    assert_eq!(text, file, "{name}: the same structure in other words or another order");
    let read: T = serde_json::from_str(&file).unwrap_or_else(|error| panic!("{name} is not read: {error}"));
    assert_eq!(serde_json::to_value(&read).unwrap(), structure, "{name}: reading loses something");
}

#[test]
fn requests() {
    for (name, submission) in samples::submissions() {
        written_and_read(name, &submission);
        assert_eq!(submission.validate(), Ok(()), "{name}");
        let bytes = serde_json::to_vec(&submission).unwrap();
        assert_eq!(payrig_api::Submission::from_json(&bytes).as_ref(), Ok(&submission), "{name}");
    }
    for (name, order) in samples::new_orders() {
        written_and_read(name, &order);
        let bytes = serde_json::to_vec(&order).unwrap();
        assert_eq!(payrig_api::NewOrder::from_json(&bytes).as_ref(), Ok(&order), "{name}");
    }
    for (name, ship) in samples::ships() {
        written_and_read(name, &ship);
        let bytes = serde_json::to_vec(&ship).unwrap();
        assert_eq!(payrig_api::Ship::from_json(&bytes).as_ref(), Ok(&ship), "{name}");
        assert_eq!(serde_json::to_value(ship.mode).unwrap(), ship.mode.name(), "{name}");
    }
}

#[test]
fn replies() {
    samples::task_replies().iter().for_each(|(name, reply)| written_and_read(name, reply));
    samples::payments().iter().for_each(|(name, payment)| written_and_read(name, payment));
    samples::transactions().iter().for_each(|(name, transaction)| written_and_read(name, transaction));
    samples::orders().iter().for_each(|(name, order)| written_and_read(name, order));
    samples::health().iter().for_each(|(name, health)| written_and_read(name, health));
}

#[test]
fn problems() {
    for (name, problem) in samples::problems() {
        written_and_read(&name, &problem);
        assert_eq!((problem.status, problem.title.as_str()), (problem.kind.status(), problem.kind.title()));
    }
}

#[test]
fn the_openapi_document() {
    let document: Value = serde_json::from_str(&payrig_api::openapi::document()).unwrap();
    let text = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    assert_eq!(text, golden("openapi", &text), "the contract changed");
}

#[test]
fn no_file_is_left_over() {
    let mut known: Vec<String> = vec!["openapi".into()];
    known.extend(samples::submissions().into_iter().map(|(name, _)| name.to_owned()));
    known.extend(samples::new_orders().into_iter().map(|(name, _)| name.to_owned()));
    known.extend(samples::ships().into_iter().map(|(name, _)| name.to_owned()));
    known.extend(samples::orders().into_iter().map(|(name, _)| name.to_owned()));
    known.extend(samples::task_replies().into_iter().map(|(name, _)| name.to_owned()));
    known.extend(samples::payments().into_iter().map(|(name, _)| name.to_owned()));
    known.extend(samples::transactions().into_iter().map(|(name, _)| name.to_owned()));
    known.extend(samples::health().into_iter().map(|(name, _)| name.to_owned()));
    known.extend(samples::problems().into_iter().map(|(name, _)| name));
    known.sort();
    let mut found = Vec::new();
    for folder in ["", "requests", "replies", "problems"] {
        for entry in fs::read_dir(path_of("x").with_file_name(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
                found.push(if folder.is_empty() { stem } else { format!("{folder}/{stem}") });
            }
        }
    }
    found.sort();
    assert_eq!(found, known);
}
