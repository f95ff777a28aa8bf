//! What an answer says, and whether it can be true.

use std::io;
use std::time::Duration;

use dagstore_mount::{Error, Stat};
use dagstore_mount_net::{Again, Failure, bad_answer, changed};
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    LOCATION, RETRY_AFTER,
};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use crate::asking::{Ask, Asked, Told};

/// What stores say of what is wrong. Other words of a server are not repeated: they can be what was sent to it.
const CODES: [&str; 22] = [
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "AuthorizationHeaderMalformed",
    "AuthorizationPermissionMismatch",
    BLOB_ARCHIVED,
    "BlobNotFound",
    "ContainerNotFound",
    "ExpiredToken",
    "InvalidAccessKeyId",
    INVALID_OBJECT_STATE,
    "InvalidToken",
    "NoSuchBucket",
    "NoSuchKey",
    "PermanentRedirect",
    "PublicAccessNotPermitted",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "SlowDown",
    "UserProjectMissing",
];

const BLOB_ARCHIVED: &str = "BlobArchived";
const INVALID_OBJECT_STATE: &str = "InvalidObjectState";

/// Whether an answer brings no content.
pub(crate) fn is_refusal(status: StatusCode) -> bool {
    !matches!(status.as_u16(), 200 | 206 | 416)
}

/// Why it doesn't; `text` came with it.
pub(crate) fn refusal(asked: &Asked, parts: &Parts, text: &str) -> Failure {
    let (status, code, place) = (parts.status, code(&parts.headers, text), || asked.place.to_string());
    let refused = |hint: &str| {
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        Error::Refused { place: place(), why: format!("the store answers {status}{code}{hint}") }.into()
    };
    match (status.as_u16(), code) {
        (_, Some(BLOB_ARCHIVED | INVALID_OBJECT_STATE)) => {
            refused("; it lies in a cold tier and has to be restored before it can be read")
        }
        (404 | 410, _) => Error::NotFound { place: place() }.into(),
        // Only asked with a validator.
        (412, _) => changed(&asked.place).into(),
        (408 | 425 | 429 | 500 | 502 | 503 | 504, _) => {
            let seconds = header(&parts.headers, &RETRY_AFTER).and_then(|value| value.parse().ok());
            let again = seconds.map_or(Again::Soon, |seconds| Again::After(Duration::from_secs(seconds)));
            Failure::unavailable(&asked.place, io::Error::other(format!("the store answers {status}")), again)
        }
        (300..=399, _) if parts.headers.contains_key(LOCATION) => {
            refused(", to send it elsewhere; the template's region or endpoint may be another's")
        }
        (403, None | Some("AccessDenied")) => {
            refused(", which can also mean that there is no such object, for those who may not list the bucket")
        }
        _ => refused(""),
    }
}

/// Why a server that gives credentials to machines gave none.
pub(crate) fn no_credential(status: StatusCode) -> Failure {
    let why = format!("the server that gives credentials answers {status}");
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Failure::unavailable("", io::Error::other(why), Again::Soon);
    }
    Error::NoCredential { place: String::new(), name: "of this machine".to_owned(), why }.into()
}

/// Checks an answer that is none of the above, and notes what it says. What is only to be compared, sizes and validators of a
/// whole, is compared where all stores' results are.
pub(crate) fn check(asked: &Asked, parts: &mut Parts) -> Result<(), Failure> {
    let place = &*asked.place;
    match &asked.ask {
        Ask::Head | Ask::Whole(_) => {
            if parts.status != StatusCode::OK {
                return Err(bad_answer(place, format!("{} to a request for all of it", parts.status)).into());
            }
            plain(place, &parts.headers)?;
            if header(&parts.headers, &CONTENT_LENGTH).is_none_or(|length| length.parse::<u64>().is_err()) {
                return Err(bad_answer(place, "it doesn't tell the size (Content-Length)").into());
            }
        }
        Ask::Part { first, last, of } => {
            part_of(place, parts, (*first, *last), of)?;
            // `object_store` insists on it, though the range says the same.
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(last - first + 1));
        }
    }
    let is_whole_only = header(&parts.headers, &ACCEPT_RANGES).is_some_and(|units| units.eq_ignore_ascii_case("none"));
    parts.extensions.insert(Told { is_cold: is_cold(&parts.headers), is_whole_only });
    Ok(())
}

/// Checks an answer that was asked for `first` to `last` of the content `of`.
fn part_of(place: &str, parts: &Parts, (first, last): (u64, u64), of: &Stat) -> Result<(), Failure> {
    let headers = &parts.headers;
    let range = header(headers, &CONTENT_RANGE).unwrap_or_default();
    if parts.status == StatusCode::RANGE_NOT_SATISFIABLE {
        let is_same = range.strip_prefix("bytes */").is_some_and(|size| size == of.size.to_string());
        let error = if is_same { bad_answer(place, "416 to a range inside of it") } else { changed(place) };
        return Err(error.into());
    }
    let validator = header(headers, &ETAG);
    if validator.is_some() && validator != of.validator.as_deref() {
        return Err(changed(place).into());
    }
    let length = header(headers, &CONTENT_LENGTH);
    if parts.status != StatusCode::PARTIAL_CONTENT {
        let is_same = validator.is_some() || length.is_none_or(|size| size == of.size.to_string());
        let bad = || bad_answer(place, format!("{} to a request for a range", parts.status));
        return Err(if is_same { bad() } else { changed(place) }.into());
    }
    plain(place, headers)?;
    let is_other = |told: &str| told.parse().is_ok_and(|told: u64| told != of.size);
    if range.rsplit_once('/').is_some_and(|(_, size)| is_other(size)) {
        return Err(changed(place).into());
    }
    if range != format!("bytes {first}-{last}/{}", of.size) {
        let why = format!("bytes {first}-{last}/{} were asked for, Content-Range says {range:?}", of.size);
        return Err(bad_answer(place, why).into());
    }
    if length.is_some_and(|length| length != (last - first + 1).to_string()) {
        return Err(bad_answer(place, format!("Content-Range says {range:?}, Content-Length {length:?}")).into());
    }
    Ok(())
}

/// The bytes are to be those of the object, as they are.
fn plain(place: &str, headers: &HeaderMap) -> Result<(), Failure> {
    // `aws-chunked` is how an object was sent to the store; some keep the word, though what they give is plain.
    let is_plain = |coding: &str| ["", "identity", "aws-chunked"].contains(&&*coding.to_ascii_lowercase());
    if headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.to_str().is_ok_and(is_plain)) {
        return Err(bad_answer(place, "the content is coded, which wasn't asked for").into());
    }
    let kind = header(headers, &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("multipart/byteranges") {
        return Err(bad_answer(place, "it comes in several parts, and one was asked for").into());
    }
    Ok(())
}

/// Whether an object lies where it can't be read from at once.
fn is_cold(headers: &HeaderMap) -> bool {
    let says = |name: &'static str| header(headers, &HeaderName::from_static(name)).unwrap_or_default();
    let is_archived =
        matches!(says("x-amz-storage-class"), "GLACIER" | "DEEP_ARCHIVE") || !says("x-amz-archive-status").is_empty();
    let is_restored = says("x-amz-restore").contains("ongoing-request=\"false\"");
    (is_archived && !is_restored) || says("x-ms-access-tier") == "Archive"
}

/// What a store says is wrong: S3 and Google in XML, Azure in a header.
fn code(headers: &HeaderMap, text: &str) -> Option<&'static str> {
    let in_text = || Some(text.split_once("<Code>")?.1.split_once("</Code>")?.0.trim());
    let said = header(headers, &HeaderName::from_static("x-ms-error-code")).or_else(in_text)?;
    CODES.into_iter().find(|code| *code == said)
}

/// A header that is there once.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value.trim())
}
