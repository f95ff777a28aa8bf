//! `dagstore car inspect`: what is in a CAR file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use dagstore::car::{self, CarReader, Ending, InspectOptions, Inspection, ScanOptions, Tally};
use serde::Serialize;

use super::{Looked, intact_copy, look};
use crate::context::Context;
use crate::exit::{Code, Failure, Outcome};
use crate::findings::{self, FindingReport};
use crate::multicodec;
use crate::text::{counted, escape, path_text};

/// Tell what is in a CAR file, as far as it can be read; blocks aren't hashed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore car inspect monday.car
  dagstore car inspect --json monday.car")]
pub(super) struct Inspect {
    /// The CAR file.
    file: PathBuf,
    /// How many findings are told one by one.
    #[arg(long, value_name = "N", default_value_t = findings::MOST_TOLD)]
    limit: usize,
}

/// A CAR, for programs. `docs/cli.md` explains the fields.
#[derive(Serialize)]
struct Document {
    file: String,
    file_bytes: u64,
    version: u64,
    fully_indexed: Option<bool>,
    roots: Vec<Root>,
    header: Part,
    payload: Part,
    index: Option<Index>,
    sections: u64,
    distinct_cids: Option<u64>,
    data_bytes: u64,
    cid_versions: BTreeMap<String, u64>,
    codecs: BTreeMap<String, u64>,
    hash_functions: BTreeMap<String, u64>,
    largest_section: Option<Part>,
    ends: Ends,
    trailing_bytes: u64,
    findings: Vec<FindingReport>,
    findings_left_out: u64,
}

#[derive(Serialize)]
struct Root {
    cid: String,
    is_present: bool,
}

/// A part of the file or of the payload.
#[derive(Serialize)]
struct Part {
    offset: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Index {
    offset: u64,
    bytes: u64,
    codec: String,
    records: u64,
    agrees: bool,
}

#[derive(Serialize)]
struct Ends {
    /// Where, in the payload.
    offset: u64,
    why: &'static str,
    /// How much of the payload is behind it.
    bytes_behind: u64,
}

impl Inspect {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let options = InspectOptions::default().with_scan(ScanOptions::verifying(false));
        let options = options.with_count_distinct(true).with_most_findings(self.limit);
        let file = path_text(&self.file);
        let document = match look(context, &self.file, options).await? {
            Looked::Car(reader, inspection, damage) => {
                document(file.clone(), &reader, *inspection, damage.as_ref(), self.limit)
            }
            Looked::NoCar(error) => {
                let error = anyhow::Error::new(error).context(format!("{file} can't be read as a CAR"));
                return Err(Failure::new(Code::Failed, error).advise(intact_copy(&self.file)).into());
            }
        };
        let findings = document.findings.len() as u64 + document.findings_left_out;
        if context.output.json {
            context.output.json(&document)?;
        } else {
            print(context, &document)?;
            let left_out = document.findings_left_out;
            findings::tell(context, &file, document.findings.into_iter(), left_out)?;
        }
        if findings == 0 {
            return Ok(());
        }
        let text = format!("{} in {file}", counted(findings, "finding"));
        Err(Failure::of_text(Code::Failed, text).advise(intact_copy(&self.file)).into())
    }
}

fn document(
    file: String,
    reader: &CarReader,
    inspection: Inspection,
    damage: Option<&car::Error>,
    limit: usize,
) -> Document {
    let damage = damage.map(|error| FindingReport::of_car(&file, error)).into_iter();
    let findings = damage.chain(inspection.findings.iter().map(|finding| FindingReport::of(&file, finding)));
    let mut findings: Vec<_> = findings.collect();
    let found = findings.len() as u64 + inspection.left_out;
    findings.truncate(limit);
    let payload_offset = reader.payload_offset();
    let range = inspection.index_range.clone();
    let index = range.clone().zip(inspection.index_codec).map(|(range, codec)| Index {
        offset: range.start,
        bytes: range.end - range.start,
        codec: format!("{:#06x}", codec.code()),
        records: inspection.index_records.unwrap_or_default(),
        agrees: inspection.index_findings == Some(0),
    });
    let payload_end = payload_offset + reader.payload_size();
    let roots = inspection.header.roots.iter().zip(&inspection.roots_present);
    Document {
        file_bytes: reader.file_size(),
        version: inspection.header.version,
        fully_indexed: inspection.header.v2.map(|v2| v2.characteristics.is_fully_indexed()),
        roots: roots.map(|(root, is_present)| Root { cid: root.to_string(), is_present: *is_present }).collect(),
        header: Part { offset: payload_offset, bytes: reader.header_size() },
        payload: Part { offset: payload_offset, bytes: reader.payload_size() },
        index,
        sections: inspection.block_bytes.count,
        distinct_cids: inspection.distinct_cids,
        data_bytes: inspection.block_bytes.total,
        cid_versions: counts(&inspection.cid_versions, |version| version.to_string()),
        codecs: counts(&inspection.codecs, multicodec::codec),
        hash_functions: counts(&inspection.hash_functions, multicodec::hash_function),
        largest_section: inspection.largest_section.map(|place| Part { offset: place.offset, bytes: place.bytes }),
        ends: Ends {
            offset: inspection.payload_end,
            why: match inspection.ending {
                Ending::Whole => "payload",
                Ending::ZeroLength => "zero-length",
                Ending::Damaged => "damage",
            },
            bytes_behind: reader.payload_size().saturating_sub(inspection.payload_end),
        },
        trailing_bytes: reader.file_size().saturating_sub(range.map_or(payload_end, |range| range.end)),
        findings_left_out: found - findings.len() as u64,
        findings,
        file,
    }
}

fn counts(tally: &Tally, name: impl Fn(u64) -> String) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<_, _> = tally.counts.iter().map(|(number, count)| (name(*number), *count)).collect();
    if tally.others > 0 {
        counts.insert("others".to_owned(), tally.others);
    }
    counts
}

fn print(context: &Context, shown: &Document) -> Outcome {
    let part = |part: &Part| format!("{} at offset {}", counted(part.bytes, "byte"), part.offset);
    let listed = |counts: &BTreeMap<String, u64>| {
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    let mut rows = vec![
        ("file", shown.file.clone()),
        ("file bytes", shown.file_bytes.to_string()),
        ("version", shown.version.to_string()),
    ];
    rows.extend(shown.roots.iter().map(|root| {
        let note = if root.is_present { "" } else { ", which is not among the blocks" };
        ("root", format!("{}{note}", root.cid))
    }));
    rows.extend([("header", part(&shown.header)), ("payload", part(&shown.payload))]);
    if let Some(index) = &shown.index {
        let (records, bytes) = (counted(index.records, "record"), counted(index.bytes, "byte"));
        let agrees = if index.agrees { "agrees with the blocks" } else { "contradicts the blocks" };
        rows.push(("index", format!("{}, {records}, {bytes} at offset {}, {agrees}", index.codec, index.offset)));
    }
    rows.push(("sections", shown.sections.to_string()));
    rows.extend(shown.distinct_cids.map(|count| ("distinct CIDs", count.to_string())));
    rows.push(("data bytes", shown.data_bytes.to_string()));
    if shown.sections > 0 {
        let counts = [
            ("CID versions", &shown.cid_versions),
            ("codecs", &shown.codecs),
            ("hash functions", &shown.hash_functions),
        ];
        rows.extend(counts.map(|(name, counts)| (name, listed(counts))));
    }
    rows.extend(shown.largest_section.as_ref().map(|largest| ("largest section", part(largest))));
    let Ends { offset, why, bytes_behind } = &shown.ends;
    let behind = counted(*bytes_behind, "byte");
    rows.push(match *why {
        "payload" => ("ends", format!("at offset {offset}, with the payload")),
        "zero-length" => ("ends", format!("at offset {offset}, by a section of length zero; {behind} from there on")),
        _ => ("ends", format!("at offset {offset}, damaged; {behind} from there on")),
    });
    rows.push(("trailing bytes", shown.trailing_bytes.to_string()));
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (name, value) in rows {
        table.add_row([name, &escape(&value)]);
    }
    table.lines().try_for_each(|line| context.output.piece(line.trim()))
}
