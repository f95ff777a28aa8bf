//! What an answer says, and whether it can be true.

use std::io;
use std::time::Duration;

use dagstore_mount::{Error, Result, Stat};
use dagstore_mount_net::{Again, Failure, bad_answer, changed};
use reqwest::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED,
    RETRY_AFTER,
};
use reqwest::{Response, StatusCode};

/// Answers that bring no content are errors, unless they say that the server doesn't know what `HEAD` is.
pub(crate) fn refusal(place: &str, response: &Response, is_head: bool) -> Result<(), Failure> {
    let status = response.status();
    let again = match status.as_u16() {
        200 | 206 | 416 => return Ok(()),
        404 | 410 => return Err(Error::NotFound { place: place.to_owned() }.into()),
        // A precondition is sent with a validator only.
        412 => return Err(changed(place).into()),
        405 | 501 if is_head => return Ok(()),
        408 | 425 | 429 | 500 | 502 | 503 | 504 => true,
        _ => false,
    };
    if !again {
        let why = format!("the server answers {status}");
        return Err(Error::Refused { place: place.to_owned(), why }.into());
    }
    let seconds = header(response, &RETRY_AFTER).and_then(|value| value.parse().ok());
    let again = seconds.map_or(Again::Soon, |seconds| Again::After(Duration::from_secs(seconds)));
    Err(Failure::unavailable(place, io::Error::other(format!("the server answers {status}")), again))
}

/// Whether a server doesn't know the method.
pub(crate) fn is_unknown_method(response: &Response) -> bool {
    matches!(response.status(), StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED)
}

/// What an answer with all of a source says of it.
pub(crate) fn whole(place: &str, response: &Response) -> Result<Stat> {
    if response.status() != StatusCode::OK {
        return Err(bad_answer(place, format!("{} to a request for all of it", response.status())));
    }
    plain(place, response)?;
    let length = header(response, &CONTENT_LENGTH).and_then(|value| value.parse().ok());
    let Some(size) = length else {
        return Err(bad_answer(place, "it doesn't tell the size (Content-Length)"));
    };
    let has_ranges = header(response, &ACCEPT_RANGES).is_none_or(|units| !units.eq_ignore_ascii_case("none"));
    let validator = header(response, &ETAG).map(str::to_owned);
    let is_seekable = has_ranges && validator.as_deref().is_some_and(is_strong);
    let modified = || header(response, &LAST_MODIFIED).map(|time| format!("modified {time}"));
    let stat = Stat::new(size, validator.or_else(modified));
    Ok(if is_seekable { stat } else { stat.sequential_only() })
}

/// Checks an answer that was asked for `first` to `last` of the content `of`.
pub(crate) fn part_of(place: &str, response: &Response, (first, last): (u64, u64), of: &Stat) -> Result<()> {
    let status = response.status();
    let range = header(response, &CONTENT_RANGE).unwrap_or_default();
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        let is_same = range.strip_prefix("bytes */").is_some_and(|size| size == of.size.to_string());
        return Err(if is_same { bad_answer(place, "416 to a range inside of it") } else { changed(place) });
    }
    let validator = header(response, &ETAG);
    if validator.is_some() && validator != of.validator.as_deref() {
        return Err(changed(place));
    }
    if status != StatusCode::PARTIAL_CONTENT {
        let told = header(response, &CONTENT_LENGTH);
        let is_same = validator.is_some() || told.is_none_or(|size| size == of.size.to_string());
        let bad = || bad_answer(place, format!("{status} to a request for a range"));
        return Err(if is_same { bad() } else { changed(place) });
    }
    plain(place, response)?;
    if validator.is_none() {
        return Err(bad_answer(place, "a range without an ETag, which could be of any content"));
    }
    if range.rsplit_once('/').is_some_and(|(_, size)| is_other(size, of.size)) {
        return Err(changed(place));
    }
    if range != format!("bytes {first}-{last}/{}", of.size) {
        return Err(bad_answer(
            place,
            format!("bytes {first}-{last}/{} were asked for, Content-Range says {range:?}", of.size),
        ));
    }
    let length = header(response, &CONTENT_LENGTH);
    if length.is_some_and(|length| length != (last - first + 1).to_string()) {
        return Err(bad_answer(place, format!("Content-Range says {range:?}, Content-Length {length:?}")));
    }
    Ok(())
}

/// Whether a validator stands for bytes, not for a meaning.
pub(crate) fn is_strong(validator: &str) -> bool {
    validator.len() >= 2 && validator.starts_with('"') && validator.ends_with('"')
}

/// The bytes are to be those of the source, as they are.
fn plain(place: &str, response: &Response) -> Result<()> {
    let codings = response.headers().get_all(&CONTENT_ENCODING).iter();
    let mut codings = codings.map(|coding| coding.to_str().unwrap_or("what can't be read").trim());
    if let Some(coding) = codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity")) {
        return Err(bad_answer(place, format!("the content is coded as {coding:?}, which wasn't asked for")));
    }
    let kind = header(response, &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("multipart/byteranges") {
        return Err(bad_answer(place, "it comes in several parts, and one was asked for"));
    }
    Ok(())
}

fn is_other(told: &str, size: u64) -> bool {
    told.parse().is_ok_and(|told: u64| told != size)
}

/// A header that is there once.
fn header<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    let mut values = response.headers().get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value.trim())
}
