//! Frame threads: the frames of a group follow from its network and not from each other, so a pool of workers, each with
//! the network for itself, prefetches a few frames beyond the one that is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::arch::Architecture;
use super::inference::{self, interleave_planes, run_network};
use crate::{Error, Limits, Result};
use siskin_media::{PixelFormat, Size, VideoFrame};
use siskin_model::runtime::{Provider, Runtime, TensorNetwork};

/// Frames per worker that are being decoded or wait to be fetched: one keeps it busy while another waits.
// More would only hold more frames in memory, and be thrown away at a seek.
const PREFETCH: usize = 2;

/// What the frames of a group are made from, beside the network.
#[derive(Debug)]
pub(super) struct GroupSource {
    pub(super) number: u32,
    pub(super) arch: Architecture,
    /// The size of the frames.
    pub(super) size: Size,
    /// Frames of the group.
    pub(super) frames: usize,
    /// The embeddings of all frames, one behind another; empty where there are none.
    pub(super) embeddings: Vec<f32>,
}

impl GroupSource {
    /// Frames that `threads` threads decode at once: as many as there are, and as memory for their features allows.
    fn count_workers(&self, threads: usize, limits: &Limits) -> usize {
        // Each worker has features of its own; fewer workers is slower but never over the limit.
        let room = limits.max_video_memory / self.arch.memory_bytes().max(1);
        threads.min(usize::try_from(room).unwrap_or(usize::MAX)).min(self.frames).max(1)
    }

    /// Decodes frame `index` to RGB, replacing `out`, which stays as it was if it fails.
    fn decode_frame(
        &self,
        network: &mut dyn TensorNetwork,
        index: usize,
        out: &mut VideoFrame,
    ) -> Result<()> {
        let size = self.arch.embedding();
        let embedding = &self.embeddings[index * size..(index + 1) * size];
        run_network(network, &self.arch, (index, self.frames), embedding)?;
        let planes = network.output(0);
        // Parameters that overflow are legal to code; a frame of them would be noise that looks like a decoder's
        // error.
        if !planes.iter().all(|v| v.is_finite()) {
            return Err(Error::NotFinite { number: self.number });
        }
        interleave_planes(planes, self.size, out);
        Ok(())
    }
}

/// The frames of a group, in any order, quickest one after another.
pub(super) struct GroupFrames {
    source: Arc<GroupSource>,
    provider: Provider,
    workers: Workers,
}

/// What runs the network.
enum Workers {
    /// The caller's thread.
    Caller(Box<dyn TensorNetwork>),
    /// A pool, once the first frame is asked for: the network of its first thread, what the others make theirs of, and how
    /// many there are to be.
    Pending(Option<(Box<dyn TensorNetwork>, Runtime, Vec<u8>)>, usize),
    Pool(WorkerPool),
}

impl GroupFrames {
    /// Opens the network of a group, whose graph is `model`. The threads of the runtime take frames side by side as far as
    /// there are frames, and memory for their features in `limits`; what is left works inside a frame.
    pub(super) fn open(
        runtime: &Runtime,
        limits: &Limits,
        source: GroupSource,
        model: Vec<u8>,
    ) -> Result<Self> {
        let threads = source.count_workers(runtime.threads(), limits);
        // Frames side by side beat threads inside a layer: 70 against 53 frames/s for `nerv` on two cores
        // (docs/video.md).
        let per_worker = runtime.with_threads(runtime.threads() / threads);
        let network = inference::open_network(&per_worker, &source.arch, &model)?;
        let provider = network.provider();
        let workers = match provider {
            // Threads start at the first frame: whoever only wants the parameters needs none.
            Provider::Cpu if threads > 1 => Workers::Pending(Some((network, per_worker, model)), threads),
            // An accelerator has its own ways to be busy.
            _ => Workers::Caller(network),
        };
        Ok(Self { source: Arc::new(source), provider, workers })
    }

    /// What runs the network.
    pub(super) fn provider(&self) -> Provider {
        self.provider
    }

    /// Decodes frame `index` to RGB, replacing `out`, which stays as it was if it fails.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no such frame, [`Error::NotFinite`] if the network gives no numbers;
    /// [`Error::Network`].
    pub(super) fn decode_frame(&mut self, index: usize, out: &mut VideoFrame) -> Result<()> {
        let source = &self.source;
        if index >= source.frames {
            return Err(Error::parameter("frame", index, format!("0 to {}", source.frames - 1)));
        }
        if let Workers::Pending(first, threads) = &mut self.workers
            && let Some((network, runtime, model)) = first.take()
        {
            self.workers = Workers::Pool(WorkerPool::new(source, *threads, network, &runtime, model)?);
        }
        match &mut self.workers {
            Workers::Caller(network) => source.decode_frame(&mut **network, index, out),
            Workers::Pool(pool) => pool.fetch_frame(index, source, out),
            // `take` has emptied it and the pool then failed: the error of the first call was the real one.
            Workers::Pending(..) => Err(Error::network(inference::NAME, "its threads could not be started")),
        }
    }
}

/// A frame to be decoded into `frame`.
struct Job {
    /// Counts seeks, so that frames decoded in vain can be told apart.
    generation: u64,
    index: usize,
    frame: VideoFrame,
}

/// A job after it was done.
struct Done {
    job: Job,
    outcome: Result<()>,
}

/// Threads that decode frames of one group.
struct WorkerPool {
    /// None once the threads are to end.
    jobs: Option<Sender<Job>>,
    /// The other end of `jobs`, to take back what nobody has begun.
    queue: Receiver<Job>,
    done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    generation: u64,
    /// The frame that is due, and the first one that has not been given to the threads.
    due: usize,
    next: usize,
    /// Frames that were decoded before they were asked for.
    ready: BTreeMap<usize, Done>,
    /// Memory of frames.
    spare: Vec<VideoFrame>,
}

impl WorkerPool {
    fn new(
        source: &Arc<GroupSource>,
        count: usize,
        first: Box<dyn TensorNetwork>,
        runtime: &Runtime,
        model: Vec<u8>,
    ) -> Result<Self> {
        // Unbounded, but never more than PREFETCH jobs per thread are sent.
        let (jobs, queue) = unbounded::<Job>();
        let (results, done) = unbounded();
        let mut pool = Self {
            jobs: Some(jobs),
            queue,
            done,
            threads: Vec::with_capacity(count),
            generation: 0,
            due: 0,
            next: 0,
            ready: BTreeMap::new(),
            spare: Vec::new(),
        };
        let model = Arc::new(model);
        // The network that told the provider serves one worker, so it is not opened twice.
        let mut first = Some(first);
        for _ in 0..count {
            let (source, queue, results) = (source.clone(), pool.queue.clone(), results.clone());
            let (own, runtime, model) = (first.take(), runtime.clone(), model.clone());
            let work = move || {
                let opened = own.map_or_else(|| inference::open_network(&runtime, &source.arch, &model), Ok);
                // The last worker to have opened its network frees the graph, which holds all parameters once more.
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
                    let outcome = source.decode_frame(&mut *network, job.index, &mut job.frame);
                    if results.send(Done { job, outcome }).is_err() {
                        break;
                    }
                }
            };
            let thread = thread::Builder::new().name("siskin-frames".into()).spawn(work);
            pool.threads.push(thread.map_err(|e| Error::network(inference::NAME, e))?);
        }
        Ok(pool)
    }

    /// Fetches frame `index`, and lets the threads prefetch those behind it.
    fn fetch_frame(&mut self, index: usize, source: &GroupSource, out: &mut VideoFrame) -> Result<()> {
        // A frame that is queued or ready is no seek: skipping forward a little keeps the work done.
        if !(self.due..=self.next).contains(&index) {
            self.seek(index);
        }
        self.due = index;
        let ended = || Error::network(inference::NAME, "its threads have ended");
        let end = source.frames.min(index + PREFETCH * self.threads.len());
        while self.next < end {
            // After a few frames all memory comes from here.
            let frame = self.spare.pop().unwrap_or_else(|| VideoFrame::new(PixelFormat::Rgb, source.size));
            let job = Job { generation: self.generation, index: self.next, frame };
            self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(ended)?;
            self.next += 1;
        }
        while self.ready.first_key_value().is_some_and(|(&first, _)| first < index) {
            self.spare.extend(self.ready.pop_first().map(|(_, done)| done.job.frame));
        }
        let mut done = loop {
            if let Some(done) = self.ready.remove(&index) {
                break done;
            }
            // Workers hold the senders, so this fails, and does not hang, once all have ended.
            let done = self.done.recv().map_err(|_| ended())?;
            // Frames in work during a seek still arrive; their memory is reused, their samples are not.
            if done.job.generation == self.generation && done.job.index >= index {
                self.ready.insert(done.job.index, done);
            } else {
                self.spare.push(done.job.frame);
            }
        };
        self.due = index + 1;
        if done.outcome.is_ok() {
            std::mem::swap(out, &mut done.job.frame);
        }
        self.spare.push(done.job.frame);
        done.outcome
    }

    /// Goes on at another frame: queued jobs are taken back, and frames being decoded will be dropped.
    fn seek(&mut self, index: usize) {
        self.generation += 1;
        self.spare.extend(self.queue.try_iter().map(|job| job.frame));
        self.spare.extend(std::mem::take(&mut self.ready).into_values().map(|done| done.job.frame));
        self.next = index;
    }
}

impl Drop for WorkerPool {
    /// No thread and none of its memory outlives the group.
    fn drop(&mut self) {
        self.seek(0);
        // A closed channel ends the workers' loops.
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
        let size = Size::new(64, 48).expect("a size");
        let arch = Architecture::for_budget(Kind::Index, Modulation::Affine, size, FRAMES, 6000);
        let per_worker = arch.memory_bytes();
        let source = GroupSource { number: 0, arch, size, frames: FRAMES, embeddings: Vec::new() };
        let at_once = |threads, most| {
            let mut limits = Limits::default();
            limits.max_video_memory = most;
            source.count_workers(threads, &limits)
        };
        assert_eq!([at_once(8, per_worker), at_once(8, 3 * per_worker), at_once(8, u64::MAX)], [1, 3, 8]);
        assert_eq!([at_once(2 * FRAMES, u64::MAX), at_once(1, u64::MAX), at_once(8, 0)], [FRAMES, 1, 1]);
    }
}
