//! Frames of one group of pictures. They follow from its network and not from each other, so several threads, each with the
//! network for itself, decode a few ahead of the one that is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::arch::Architecture;
use super::inference::{self, interleave, run};
use crate::{Error, Limits, Result};
use siskin_model::runtime::{Provider, Runtime, TensorNetwork};

/// Frames that are under way or wait to be fetched, for each thread.
const AHEAD: usize = 2;

/// What the frames of a group are made from, beside the network.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) number: u32,
    pub(super) arch: Architecture,
    /// Frames of the group.
    pub(super) frames: usize,
    /// The embeddings of all frames, one behind another; empty where there are none.
    pub(super) embeddings: Vec<f32>,
}

impl Source {
    /// Frames to be decoded at once by so many threads.
    fn side_by_side(&self, threads: usize, limits: &Limits) -> usize {
        let room = limits.max_video_memory / self.arch.memory().max(1);
        threads.min(usize::try_from(room).unwrap_or(usize::MAX)).min(self.frames).max(1)
    }

    /// Decodes frame `index` to interleaved RGB, replacing `out`, which stays as it was if it fails.
    fn decode(&self, network: &mut dyn TensorNetwork, index: usize, out: &mut Vec<u8>) -> Result<()> {
        let size = self.arch.embedding();
        let embedding = &self.embeddings[index * size..(index + 1) * size];
        run(network, &self.arch, (index, self.frames), embedding)?;
        let picture = network.output(0);
        if !picture.iter().all(|v| v.is_finite()) {
            return Err(Error::NotFinite { number: self.number });
        }
        interleave(picture, out);
        Ok(())
    }
}

/// The frames of a group, in any order, quickest one after another.
pub(super) struct Frames {
    source: Arc<Source>,
    provider: Provider,
    runs: Runs,
}

/// What runs the network.
enum Runs {
    /// The caller's thread.
    Here(Box<dyn TensorNetwork>),
    /// Threads, once the first frame is asked for: here are the network of the first thread, what the others make
    /// theirs of, and how many there are to be.
    Later(Option<(Box<dyn TensorNetwork>, Runtime, Vec<u8>)>, usize),
    Team(Team),
}

impl Frames {
    /// Opens the network of a group, whose graph is `model`. The threads of the runtime take frames side by side as far as
    /// there are frames, and memory for their features in `limits`; what is left works inside a frame.
    pub(super) fn open(runtime: &Runtime, limits: &Limits, source: Source, model: Vec<u8>) -> Result<Self> {
        let threads = source.side_by_side(runtime.threads(), limits);
        let of_one = runtime.with_threads(runtime.threads() / threads);
        let network = inference::open(&of_one, &source.arch, &model)?;
        let provider = network.provider();
        let runs = match provider {
            Provider::Cpu if threads > 1 => Runs::Later(Some((network, of_one, model)), threads),
            // An accelerator has its own ways to be busy.
            _ => Runs::Here(network),
        };
        Ok(Self { source: Arc::new(source), provider, runs })
    }

    /// What runs the network.
    pub(super) fn provider(&self) -> Provider {
        self.provider
    }

    /// Decodes frame `index` to interleaved RGB, replacing `out`, which stays as it was if it fails.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no such frame, [`Error::NotFinite`] if the network gives no numbers;
    /// [`Error::Network`].
    pub(super) fn frame(&mut self, index: usize, out: &mut Vec<u8>) -> Result<()> {
        let source = &self.source;
        if index >= source.frames {
            return Err(Error::parameter("frame", index, format!("0 to {}", source.frames - 1)));
        }
        if let Runs::Later(first, threads) = &mut self.runs
            && let Some((network, runtime, model)) = first.take()
        {
            self.runs = Runs::Team(Team::new(source, *threads, network, &runtime, model)?);
        }
        match &mut self.runs {
            Runs::Here(network) => source.decode(&mut **network, index, out),
            Runs::Team(team) => team.frame(index, source.frames, out),
            Runs::Later(..) => Err(Error::network(inference::NAME, "its threads could not be started")),
        }
    }
}

/// A frame to be decoded into `picture`.
struct Job {
    /// Counts up when frames are asked for in another order, so that those decoded in vain can be told apart.
    turn: u64,
    index: usize,
    picture: Vec<u8>,
}

/// A job after it was done.
struct Done {
    job: Job,
    outcome: Result<()>,
}

/// Threads that decode frames of one group.
struct Team {
    /// None once the threads are to end.
    jobs: Option<Sender<Job>>,
    /// The other end of `jobs`, to take back what nobody has begun.
    queue: Receiver<Job>,
    done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    turn: u64,
    /// The frame that is due, and the first one that has not been given to the threads.
    due: usize,
    next: usize,
    /// Frames that have come before it was their turn.
    ready: BTreeMap<usize, Done>,
    /// Memory of pictures.
    spare: Vec<Vec<u8>>,
}

impl Team {
    fn new(
        source: &Arc<Source>,
        count: usize,
        first: Box<dyn TensorNetwork>,
        runtime: &Runtime,
        model: Vec<u8>,
    ) -> Result<Self> {
        let (jobs, queue) = unbounded::<Job>();
        let (results, done) = unbounded();
        let mut team = Self {
            jobs: Some(jobs),
            queue,
            done,
            threads: Vec::with_capacity(count),
            turn: 0,
            due: 0,
            next: 0,
            ready: BTreeMap::new(),
            spare: Vec::new(),
        };
        let model = Arc::new(model);
        let mut first = Some(first);
        for _ in 0..count {
            let (source, queue, results) = (source.clone(), team.queue.clone(), results.clone());
            let (own, runtime, model) = (first.take(), runtime.clone(), model.clone());
            let work = move || {
                let opened = own.map_or_else(|| inference::open(&runtime, &source.arch, &model), Ok);
                drop(model);
                let mut network = match opened {
                    Ok(network) => network,
                    Err(error) => {
                        // The frame that it would have decoded says why.
                        if let Ok(job) = queue.recv() {
                            results.send(Done { job, outcome: Err(error) }).ok();
                        }
                        return;
                    }
                };
                for mut job in &queue {
                    let outcome = source.decode(&mut *network, job.index, &mut job.picture);
                    if results.send(Done { job, outcome }).is_err() {
                        break;
                    }
                }
            };
            let thread = thread::Builder::new().name("siskin-frames".into()).spawn(work);
            team.threads.push(thread.map_err(|e| Error::network(inference::NAME, e))?);
        }
        Ok(team)
    }

    /// Gives frame `index` of `frames`, and lets the threads go on with those behind it.
    fn frame(&mut self, index: usize, frames: usize, out: &mut Vec<u8>) -> Result<()> {
        if !(self.due..=self.next).contains(&index) {
            self.turn_to(index);
        }
        self.due = index;
        let ended = || Error::network(inference::NAME, "its threads have ended");
        let end = frames.min(index + AHEAD * self.threads.len());
        while self.next < end {
            let picture = self.spare.pop().unwrap_or_default();
            let job = Job { turn: self.turn, index: self.next, picture };
            self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(ended)?;
            self.next += 1;
        }
        while self.ready.first_key_value().is_some_and(|(&first, _)| first < index) {
            self.spare.extend(self.ready.pop_first().map(|(_, done)| done.job.picture));
        }
        let mut done = loop {
            if let Some(done) = self.ready.remove(&index) {
                break done;
            }
            let done = self.done.recv().map_err(|_| ended())?;
            if done.job.turn == self.turn && done.job.index >= index {
                self.ready.insert(done.job.index, done);
            } else {
                self.spare.push(done.job.picture);
            }
        };
        self.due = index + 1;
        if done.outcome.is_ok() {
            std::mem::swap(out, &mut done.job.picture);
        }
        self.spare.push(done.job.picture);
        done.outcome
    }

    /// Goes on at another frame: what waits is taken back, and what is under way will be dropped.
    fn turn_to(&mut self, index: usize) {
        self.turn += 1;
        self.spare.extend(self.queue.try_iter().map(|job| job.picture));
        self.spare.extend(std::mem::take(&mut self.ready).into_values().map(|done| done.job.picture));
        self.next = index;
    }
}

impl Drop for Team {
    /// No thread and none of its memory outlives the group.
    fn drop(&mut self) {
        self.turn_to(0);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // What a thread has to say it has said.
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Kind, Modulation};

    const FRAMES: usize = 11;

    #[test]
    fn frames_and_memory_limit_how_many_work_side_by_side() {
        let arch = Architecture::fit(Kind::Index, Modulation::Affine, (64, 48), FRAMES, 6000);
        let of_one = arch.memory();
        let source = Source { number: 0, arch, frames: FRAMES, embeddings: Vec::new() };
        let at_once = |threads, most| {
            let mut limits = Limits::default();
            limits.max_video_memory = most;
            source.side_by_side(threads, &limits)
        };
        assert_eq!([at_once(8, of_one), at_once(8, 3 * of_one), at_once(8, u64::MAX)], [1, 3, 8]);
        assert_eq!([at_once(2 * FRAMES, u64::MAX), at_once(1, u64::MAX), at_once(8, 0)], [FRAMES, 1, 1]);
    }
}
