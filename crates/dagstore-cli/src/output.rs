//! The one place that prints.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::exit::{Code, Failure, Outcome, Stop};
use crate::progress::Progress;
use crate::text::{escape, escape_json};

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 64 * 1024;

/// Standard output, for text or for JSON and never for both.
#[derive(Debug)]
pub(crate) struct Output {
    /// Whether JSON is wanted.
    pub(crate) json: bool,
    stdout: Mutex<BufWriter<Stdout>>,
    is_terminal: bool,
    is_muted: AtomicBool,
    progress: Progress,
}

impl Output {
    pub(crate) fn new(json: bool, progress: Progress) -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let stdout = Mutex::new(BufWriter::with_capacity(BUFFER_BYTES, stdout));
        Self { json, stdout, is_terminal, is_muted: AtomicBool::new(false), progress }
    }

    /// Prints one line of text, and it is seen at once.
    pub(crate) fn line(&self, text: &str) -> Outcome {
        self.piece(text)?;
        self.flush()
    }

    /// Prints one line of text out of many: it may be seen later.
    pub(crate) fn piece(&self, text: &str) -> Outcome {
        let line = escape(text) + "\n";
        self.write(|stdout| stdout.write_all(line.as_bytes()))
    }

    /// Prints a JSON document in one line.
    pub(crate) fn json(&self, document: &impl Serialize) -> Outcome {
        self.json_piece(document)?;
        self.flush()
    }

    /// Prints one JSON document out of many: it may be seen later.
    pub(crate) fn json_piece(&self, document: &impl Serialize) -> Outcome {
        let json = serde_json::to_string(document).map_err(|error| Failure::new(Code::Failed, error))?;
        let line = escape_json(&json) + "\n";
        self.write(|stdout| stdout.write_all(line.as_bytes()))
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Outcome {
        self.write(|stdout| stdout.write_all(bytes))?;
        self.flush()
    }

    /// Prints what `work` writes, as it is.
    pub(crate) fn stream(&self, work: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Outcome {
        self.write(|stdout| work(stdout))?;
        self.flush()
    }

    /// Whether a person looks at the output.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// How many columns a person sees; nothing where nobody looks. A terminal that doesn't tell has the usual 80.
    pub(crate) fn width(&self) -> Option<usize> {
        const USUAL: usize = 80;
        self.is_terminal.then(|| {
            let size = rustix::termios::tcgetwinsize(io::stdout());
            size.ok().map(|size| usize::from(size.ws_col)).filter(|width| *width > 0).unwrap_or(USUAL)
        })
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&self) -> Outcome {
        self.write(BufWriter::flush)
    }

    /// Says one line on standard error, beside the work.
    pub(crate) fn note(&self, text: &str) {
        self.say(&(escape(text) + "\n"));
    }

    /// Says a JSON document in one line on standard error.
    pub(crate) fn json_note(&self, document: &impl Serialize) {
        self.say(&(escape_json(&serde_json::to_string(document).unwrap_or_default()) + "\n"));
    }

    /// Says something on standard error that the next thing follows in the same line.
    pub(crate) fn ask(&self, text: &str) {
        self.say(&escape(text));
    }

    fn say(&self, text: &str) {
        if !self.is_muted.load(Ordering::Relaxed) {
            // Where nobody reads it there is nobody to tell.
            let _ = self.progress.suspend(|| io::stderr().lock().write_all(text.as_bytes()));
        }
    }

    /// Prints nothing any more: the program was interrupted.
    pub(crate) fn mute(&self) {
        self.is_muted.store(true, Ordering::Relaxed);
    }

    fn write(&self, work: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>) -> Outcome {
        if self.is_muted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let written = self.progress.suspend(|| work(&mut self.lock()));
        written.map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                return Stop::PipeClosed;
            }
            let error = anyhow::Error::new(error).context("cannot write to standard output");
            Failure::new(Code::Failed, error).advise("another place for the output").into()
        })
    }

    fn lock(&self) -> MutexGuard<'_, BufWriter<Stdout>> {
        // Whoever panicked while writing left at worst a part of a line.
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints a failure to standard error: a line with the cause and one with the way out, or one JSON object.
pub(crate) fn print_failure(failure: &Failure, json: bool) -> Code {
    #[derive(Serialize)]
    struct Document<'a> {
        error: &'a str,
        r#try: &'a str,
        code: u8,
    }

    let cause = failure.cause();
    let text = if json {
        let document = Document { error: &cause, r#try: &failure.advice, code: failure.code as u8 };
        escape_json(&serde_json::to_string(&document).unwrap_or_default()) + "\n"
    } else {
        format!("error: {}\ntry: {}\n", escape(&cause), escape(&failure.advice))
    };
    // Where nobody reads errors there is nobody to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    failure.code
}
