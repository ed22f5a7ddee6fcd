//! A run over a corpus.

mod fault;
mod folder;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use siskin_error::{Error, Result};

pub use self::fault::Fault;
use self::folder::Folder;
use crate::failure::Failure;
use crate::ordered::{Ended, run_ordered};
use crate::shard::{ShardName, ShardSummary, ShardWriter};
use crate::spec::Spec;
use crate::utterance::{Encoded, Sound, Utterance};

/// What a run came to, with what earlier runs had finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Utterances in finished shards, of this run.
    pub utterances: u64,
    /// Utterances in shards that were there already.
    pub skipped: u64,
    /// Failures of this run and of shards that were there already.
    pub failed: u64,
    /// Shards finished by this run.
    pub shards: u64,
    /// Codec frames of this run.
    pub frames: u64,
    /// Seconds of sound of this run.
    pub seconds: f64,
    /// Bytes written by this run.
    pub bytes: u64,
}

impl Totals {
    fn add(&mut self, shard: &ShardSummary) {
        self.utterances += shard.utterances;
        self.frames += shard.frames;
        self.seconds += shard.seconds;
        self.bytes += shard.bytes;
        self.shards += 1;
    }
}

/// What a run tells while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// An utterance is done, or has failed; `done` of `all` that this run has to do.
    Progress {
        /// Utterances behind.
        done: usize,
        /// Utterances of this run.
        all: usize,
        /// Seconds of sound so far.
        seconds: f64,
        /// Bytes of the shards finished so far.
        bytes: u64,
    },
    /// Something is not in the corpus.
    Failed(&'a Failure),
}

/// A corpus that is made from utterances: a folder with
///
/// - `data/`, the shards and nothing else, which trainers are pointed to;
/// - `index.json`, totals and the list of shards, once a run has ended; `failures.jsonl`, what is not in the corpus and why;
/// - `export.json`, the [`Spec`], and `state/`, a note for each finished shard.
///
/// Shard n holds the utterances from n times the shard size on, in the order of the input, less those that failed.
pub struct Export {
    folder: Folder,
    spec: Spec,
    utterances: Vec<Utterance>,
    /// The shards to make, by number.
    due: Vec<usize>,
    finished: Vec<ShardSummary>,
}

impl Export {
    /// Opens the corpus in `folder` to make what it lacks: with `anew` everything, with `retry` also the shards that have
    /// failures. `utterances` are those that `spec` was made of.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be used; [`Error::Corpus`] where it holds a corpus of another specification, is
    /// damaged, or another run is at work in it.
    pub fn open(
        folder: &Path,
        spec: Spec,
        utterances: Vec<Utterance>,
        anew: bool,
        retry: bool,
    ) -> Result<Self> {
        let folder = Folder::open(folder, &spec, anew)?;
        let (mut due, mut finished) = (Vec::new(), Vec::new());
        for number in 0..spec.shards() {
            match ShardSummary::read(folder.path(), &ShardName::numbered(number))? {
                Some(summary) if !retry || summary.failures.is_empty() => finished.push(summary),
                _ => due.push(number),
            }
        }
        Ok(Self { folder, spec, utterances, due, finished })
    }

    /// The shards that this run makes, by number.
    pub fn due(&self) -> &[usize] {
        &self.due
    }

    /// Shards that were there already.
    pub fn finished(&self) -> &[ShardSummary] {
        &self.finished
    }

    /// The utterances of a shard, failures among them.
    pub fn shard(&self, number: usize) -> &[Utterance] {
        slice(&self.utterances, &self.spec, number)
    }

    /// Ends a run whose shards others have made with [`ShardWriter`], on other machines for instance: reads their notes and
    /// writes the index. A shard that has no note is listed as lost, with the reason that `lost` has for it.
    ///
    /// # Errors
    /// As [`Export::open`].
    pub fn collect(self, lost: &BTreeMap<usize, String>) -> Result<Totals> {
        let mut all = Vec::with_capacity(self.spec.shards());
        let mut failures = Vec::new();
        for number in 0..self.spec.shards() {
            let name = ShardName::numbered(number);
            match ShardSummary::read(self.folder.path(), &name)? {
                Some(summary) => all.push(summary),
                None => {
                    let error = lost.get(&number).cloned().unwrap_or_else(|| "not made".into());
                    failures.push(Failure { id: None, input: None, shard: name.to_string(), error });
                }
            }
        }
        let mut totals =
            Totals { skipped: self.finished.iter().map(|s| s.utterances).sum(), ..Default::default() };
        let is_due = |s: &&ShardSummary| !self.finished.iter().any(|f| f.shard == s.shard);
        all.iter().filter(is_due).for_each(|s| totals.add(s));
        let failures: Vec<&Failure> = all.iter().flat_map(|s| &s.failures).chain(&failures).collect();
        totals.failed = failures.len() as u64;
        self.folder.write_index(&self.spec, &all, &failures)?;
        Ok(totals)
    }

    /// Runs on `workers` threads, each with a tool of its own from `make`; `encode` turns an utterance into codes, `tell` hears of
    /// what happens, in the order of the utterances.
    ///
    /// A failure of one utterance is noted and the others are done. A shard that cannot be written is noted as failed, and
    /// a later run makes it; where the disk is full, so is the rest of this run, since it would be encoded for nothing.
    ///
    /// # Errors
    /// What `make` and `tell` return, [`Fault::Run`] of `encode`, and errors of the corpus's own files. Shards that were finished
    /// before stay finished.
    pub fn run<W, E: From<Error> + Send>(
        self,
        workers: usize,
        make: impl Fn() -> std::result::Result<W, E> + Sync,
        encode: impl Fn(&mut W, &Utterance) -> std::result::Result<Encoded, Fault<E>> + Sync,
        mut tell: impl FnMut(Event<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<Totals, E> {
        let Self { folder, spec, utterances, due, finished } = self;
        // Every utterance with the shard that it belongs to.
        let items: Vec<(usize, &Utterance)> =
            due.iter().flat_map(|&n| slice(&utterances, &spec, n).iter().map(move |u| (n, u))).collect();
        let mut run =
            Run { path: folder.path().to_owned(), spec: &spec, finished, lost: Vec::new(), open: None };
        let (mut totals, mut seconds) = (Totals::default(), 0.0);
        totals.skipped = run.finished.iter().map(|s| s.utterances).sum();
        let before = run.finished.len();
        let work = |tool: &mut W, at: usize| match &items[at].1.sound {
            Sound::Refused(reason) => Err(Fault::Utterance(reason.clone())),
            Sound::File(_) => encode(tool, items[at].1),
        };
        let result = run_ordered(items.len(), workers, make, work, |at, ended| {
            let (number, utterance) = items[at];
            let outcome = match ended {
                Ended::Done(Ok(encoded)) => Ok(encoded),
                Ended::Done(Err(Fault::Utterance(reason))) => Err(reason),
                Ended::Done(Err(Fault::Run(error))) | Ended::NoTool(error) => return Err(error),
                Ended::Panicked => Err("the encoder panicked, which is a fault of it".into()),
            };
            seconds += outcome
                .as_ref()
                .map_or(0.0, |e: &Encoded| e.tokens.frames as f64 / e.tokens.meta.frame_rate.max(1e-9));
            if let Some(failure) = run.add(number, utterance, outcome) {
                tell(Event::Failed(&failure))?;
            }
            let is_last = items.get(at + 1).is_none_or(|next| next.0 != number);
            if is_last && let Some(failure) = run.close(number) {
                tell(Event::Failed(&failure))?;
            }
            let bytes = run.finished[before..].iter().map(|s| s.bytes).sum();
            tell(Event::Progress { done: at + 1, all: items.len(), seconds, bytes })?;
            if run.is_full() { Err(Error::Stopped.into()) } else { Ok(()) }
        });
        // A full disk ends the run in its own way: what is finished is kept, and the rest is listed.
        let is_full = run.is_full();
        if is_full {
            run.give_up(due.iter().copied());
        } else {
            result?;
        }
        run.finished[before..].iter().for_each(|s| totals.add(s));
        run.finished.sort_by(|a, b| a.shard.cmp(&b.shard));
        let failures: Vec<&Failure> =
            run.finished.iter().flat_map(|s| &s.failures).chain(run.lost.iter()).collect();
        totals.failed = failures.len() as u64;
        folder.write_index(&spec, &run.finished, &failures)?;
        Ok(totals)
    }
}

fn slice<'a>(utterances: &'a [Utterance], spec: &Spec, number: usize) -> &'a [Utterance] {
    let first = (number * spec.shard_size).min(utterances.len());
    &utterances[first..(first + spec.shard_size).min(utterances.len())]
}

/// The shard that is being written, and what became of the others.
struct Run<'a> {
    path: PathBuf,
    spec: &'a Spec,
    finished: Vec<ShardSummary>,
    /// Shards that could not be written.
    lost: Vec<Failure>,
    open: Option<Open>,
}

/// A shard at hand.
enum Open {
    Writing(Box<ShardWriter>),
    /// It could not be written, for this reason; its other utterances are passed over.
    Lost(ErrorKind),
}

impl Run<'_> {
    /// Adds what came of an utterance to its shard; returns what has failed.
    fn add(
        &mut self,
        number: usize,
        utterance: &Utterance,
        outcome: std::result::Result<Encoded, String>,
    ) -> Option<Failure> {
        if self.open.is_none() {
            match self.create(number) {
                Ok(writer) => self.open = Some(Open::Writing(Box::new(writer))),
                Err(error) => return Some(self.lose(number, &error)),
            }
        }
        let Some(Open::Writing(writer)) = &mut self.open else { return None };
        match outcome {
            Err(reason) => Some(writer.push_failure(utterance, reason).clone()),
            Ok(encoded) => match writer.push(utterance, encoded) {
                Ok(()) => None,
                Err(error) => Some(self.lose(number, &error)),
            },
        }
    }

    /// Ends a shard after its last utterance; returns what has failed.
    fn close(&mut self, number: usize) -> Option<Failure> {
        let failure = match self.open.take()? {
            Open::Lost(kind) => {
                self.open = Some(Open::Lost(kind));
                None
            }
            Open::Writing(writer) => match writer.finish() {
                Ok(summary) => {
                    self.finished.push(summary);
                    None
                }
                Err(error) => Some(self.lose(number, &error)),
            },
        };
        // The next shard is begun anew; only a full disk lasts.
        if !self.is_full() {
            self.open = None;
        }
        failure
    }

    fn create(&self, number: usize) -> Result<ShardWriter> {
        ShardWriter::create(&self.path, ShardName::numbered(number), self.spec.format, self.spec.code_type()?)
    }

    fn lose(&mut self, number: usize, error: &Error) -> Failure {
        let kind = match error {
            Error::Io { source, .. } => source.kind(),
            _ => ErrorKind::Other,
        };
        self.open = Some(Open::Lost(kind));
        let shard = ShardName::numbered(number).to_string();
        let failure = Failure { id: None, input: None, shard, error: error.with_sources() };
        self.lost.push(failure.clone());
        failure
    }

    fn is_full(&self) -> bool {
        matches!(self.open, Some(Open::Lost(kind)) if is_out_of_space(kind))
    }

    /// Lists the shards that are neither finished nor lost yet.
    fn give_up(&mut self, due: impl Iterator<Item = usize>) {
        for number in due {
            let shard = ShardName::numbered(number).to_string();
            let is_known =
                self.finished.iter().any(|s| s.shard == shard) || self.lost.iter().any(|f| f.shard == shard);
            if !is_known {
                let error = "not begun, since the disk is full".into();
                self.lost.push(Failure { id: None, input: None, shard, error });
            }
        }
    }
}

fn is_out_of_space(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
