//! `dagstore mounts`: where shards may be.

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::exit::Outcome;
use crate::mounts::{Description, Limit, Mounted};
use crate::text::escape;

/// List the schemes of URLs that can be registered, and what dagstore.toml says of them.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore mounts")]
pub(crate) struct Mounts {}

/// A scheme, for programs.
#[derive(Serialize)]
struct Document<'a> {
    scheme: &'a str,
    r#type: &'a str,
    place: Option<&'a str>,
    credential: Option<Credential<'a>>,
    limits: Map<String, Value>,
    is_configured: bool,
}

/// A secret, without it.
#[derive(Serialize)]
struct Credential<'a> {
    name: &'a str,
    is_set: bool,
}

impl Mounts {
    pub(crate) fn run(context: &Context) -> Outcome {
        let mounts = context.config()?.mounts;
        let described = mounts.iter().map(|(scheme, mounted)| (scheme, mounted, mounted.template.describe()));
        if context.output.json {
            return described.into_iter().try_for_each(|(scheme, mounted, described)| {
                context.output.json_piece(&document(scheme, mounted, &described))
            });
        }
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["SCHEME", "TYPE", "PLACE", "CREDENTIAL", "LIMITS"]);
        for (scheme, _, described) in described {
            table.add_row(cells(scheme, &described).map(|cell| escape(&cell)));
        }
        table.lines().try_for_each(|line| context.output.piece(line.trim()))
    }
}

fn document<'a>(scheme: &'a str, mounted: &Mounted, described: &'a Description) -> Document<'a> {
    let limits = described.limits.iter().map(|limit| (limit.name.to_owned(), limit.value.clone())).collect();
    let credential = described.credential.as_deref().map(|name| Credential { name, is_set: is_set(name) });
    let (r#type, place, is_configured) = (described.kind, described.place.as_deref(), mounted.is_configured);
    Document { scheme, r#type, place, credential, limits, is_configured }
}

/// Of the limits only those that somebody changed.
fn cells(scheme: &str, described: &Description) -> [String; 5] {
    let credential = described.credential.as_deref().map(|name| {
        let how = if is_set(name) { "set" } else { "not set" };
        format!("{name} ({how})")
    });
    let changed: Vec<_> = described.limits.iter().filter(|limit| limit.is_changed).map(in_words).collect();
    let or_none = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    let (scheme, kind) = (scheme.to_owned(), described.kind.to_owned());
    [scheme, kind, or_none(described.place.clone()), or_none(credential), or_none(Some(changed.join(", ")))]
}

fn in_words(limit: &Limit) -> String {
    let value = match &limit.value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        value => value.to_string(),
    };
    format!("{} {value}", limit.name)
}

/// Whether the environment has it as text, which is all that can be sent.
fn is_set(name: &str) -> bool {
    std::env::var(name).is_ok()
}
