use std::sync::Mutex;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::session::{Session, Stats, time_of};
use crate::element::{debug_category, describe_element, describe_properties, map_buffer, post_error};
use crate::inference::InferenceSettings;
use crate::sync::lock;
use crate::{caps, errors, properties};

debug_category!("siskintts", "Siskin speech synthesizer");

/// Most samples of a buffer, 0.2 s at 24 kHz: an engine may return a sentence at once, and sinks want small buffers.
const BUFFER_SAMPLES: usize = 4800;

#[derive(Debug, Clone)]
struct Settings {
    inference: InferenceSettings,
    engine: Option<String>,
    voice: Option<String>,
    speed: f32,
}

pub struct SiskinTts {
    sink: gst::Pad,
    src: gst::Pad,
    words: Mutex<Option<gst::Pad>>,
    settings: Mutex<Settings>,
    session: Mutex<Option<Session>>,
    /// As of the last sentence: the session's lock is held while one is spoken.
    stats: Mutex<Stats>,
    /// Whether the pads have had their stream start, caps and segment.
    started: Mutex<Option<gst::Event>>,
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinTts {
    const NAME: &'static str = "GstSiskinTts";
    type Type = super::SiskinTts;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name: &str| class.pad_template(name).expect("the class has this template");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.handle_text(&buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .build();
        let src = gst::Pad::builder_from_template(&template("src")).build();
        let inference = InferenceSettings::new(None);
        Self {
            sink,
            src,
            words: Mutex::default(),
            settings: Mutex::new(Settings { inference, engine: None, voice: None, speed: 1.0 }),
            session: Mutex::default(),
            stats: Mutex::default(),
            started: Mutex::default(),
        }
    }
}

impl ObjectImpl for SiskinTts {
    fn constructed(&self) {
        self.parent_constructed();
        for pad in [&self.sink, &self.src] {
            self.obj().add_pad(pad).expect("a new element has no pad of this name");
        }
    }

    describe_properties!({
        let blurb = "Name or directory of the bundle of voices; empty takes one by engine and voice";
        let mut specs = InferenceSettings::audio_specs(None, blurb);
        specs.extend([
            glib::ParamSpecString::builder("engine")
                .nick("Engine")
                .blurb(
                    "Synthesis engine, kokoro or wavthruvec; empty takes kokoro, or one that has the voice",
                )
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("voice")
                .nick("Voice")
                .blurb("Name of the voice; empty takes the bundle's default")
                .mutable_ready()
                .build(),
            glib::ParamSpecFloat::builder("speed")
                .nick("Speed")
                .blurb("Speaking rate, 1 is the voice's own")
                .minimum(0.5)
                .maximum(2.0)
                .default_value(1.0)
                .mutable_ready()
                .build(),
            properties::stats_spec(),
        ]);
        specs
    });

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        match spec.name() {
            "engine" => settings.engine = properties::text_from(value),
            "voice" => settings.voice = properties::text_from(value),
            "speed" => settings.speed = value.get().unwrap_or(1.0),
            _ => {
                settings.inference.set_property(value, spec.name());
            }
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match spec.name() {
            "engine" => settings.engine.to_value(),
            "voice" => settings.voice.to_value(),
            "speed" => settings.speed.to_value(),
            "stats" => {
                let stats = *lock(&self.stats);
                stats.to_structure().to_value()
            }
            name => settings.inference.property(name).unwrap_or_else(|| spec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for SiskinTts {}

impl ElementImpl for SiskinTts {
    describe_element!(
        "Siskin speech synthesizer",
        "Converter/Text/Audio",
        "Speaks text with the neural voices of a bundle",
        {
            let text = text_caps();
            let words =
                gst::PadTemplate::new("words", gst::PadDirection::Src, gst::PadPresence::Request, &text);
            vec![
                caps::always("sink", gst::PadDirection::Sink, &text),
                caps::always("src", gst::PadDirection::Src, &caps::raw_template()),
                words.expect("names and caps of pad templates are constants, and valid"),
            ]
        }
    );

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        let mut words = lock(&self.words);
        // One is enough: `tee` copies the words to as many as want them.
        if words.is_some() {
            return None;
        }
        let pad = gst::Pad::builder_from_template(template).name("words").build();
        *words = Some(pad.clone());
        // Adding a pad notifies the application, which may ask for properties.
        drop(words);
        self.obj().add_pad(&pad).ok()?;
        Some(pad)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        lock(&self.words).take_if(|own| own == pad);
        self.obj().remove_pad(pad).ok();
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            let settings = lock(&self.settings).clone();
            // Before the parent activates the pads, so that text never meets an element without a voice.
            let Settings { inference, engine, voice, speed } = &settings;
            let session = Session::open(inference, engine.as_deref(), voice.as_deref(), *speed);
            let session = session.map_err(|e| {
                self.post_error_message(errors::to_message(&e));
                gst::StateChangeError
            })?;
            *lock(&self.stats) = Stats::default();
            *lock(&self.session) = Some(session);
        }
        let result = self.parent_change_state(transition);
        if transition == gst::StateChange::PausedToReady {
            // After the parent, which has waited for the streaming thread to leave.
            *lock(&self.session) = None;
            *lock(&self.started) = None;
        }
        result
    }
}

/// The caps of the text pads.
fn text_caps() -> gst::Caps {
    gst::Caps::builder("text/x-raw").field("format", "utf8").build()
}

/// The segment of both source pads: time runs from zero, whatever the text's does.
fn segment() -> gst::Event {
    gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())
}

impl SiskinTts {
    fn handle_text(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let map = map_buffer(self, buffer)?;
        // Subtitles come with times: each is a text of its own, spoken no earlier than it is shown.
        let timed = buffer.pts().filter(|_| buffer.duration().is_some());
        self.speak_text(&map, timed, timed.is_some())
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::StreamStart(_) => {
                // Kept and not passed on: the output's streams begin with caps that are known only with the bundle.
                *lock(&self.started) = Some(event);
                true
            }
            // The sound has its own caps and times.
            gst::EventView::Caps(_) | gst::EventView::Segment(_) => true,
            // No text comes for a while, so whatever waits is a whole sentence.
            gst::EventView::Gap(_) => self.speak_text(&[], None, true).is_ok(),
            gst::EventView::Eos(_) => {
                if self.speak_text(&[], None, true).is_err() {
                    gst::debug!(CAT, imp = self, "the last sentence was not taken");
                }
                // A text without a sound still starts and ends a stream.
                self.start_streams();
                self.push_event(&event)
            }
            gst::EventView::FlushStop(_) => {
                if let Some(session) = lock(&self.session).as_mut() {
                    session.reset();
                }
                let passed = gst::Pad::event_default(pad, Some(&*self.obj()), event);
                // It took the segment of the streams that have begun with it.
                if self.src.has_current_caps() {
                    self.push_event(&segment());
                }
                passed
            }
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    /// Takes text and speaks its complete sentences.
    fn speak_text(
        &self,
        text: &[u8],
        not_before: Option<gst::ClockTime>,
        ends: bool,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.start_streams();
        // Held while pushing, unlike elsewhere: text and flushes are serialized by the pad, and `stats` has a lock of
        // its own.
        let mut guard = lock(&self.session);
        let session = guard.as_mut().ok_or(gst::FlowError::Flushing)?;
        // Silence between subtitles is a gap in time and not samples.
        let mut discont = not_before.is_some_and(|time| session.wait_until(time));
        let rate = session.rate();
        let time = |samples: u64| time_of(rate, samples);
        for sentence in session.take(text, ends) {
            gst::log!(
                CAT,
                imp = self,
                "{} at {}: {sentence}",
                session.position(),
                session.time(session.position())
            );
            let mut flow = Ok(gst::FlowSuccess::Ok);
            let words = session.speak(&sentence, &mut |pcm, first| {
                for (index, piece) in pcm.chunks(BUFFER_SAMPLES).enumerate() {
                    let start = first + (index * BUFFER_SAMPLES) as u64;
                    let bytes: Vec<u8> = piece.iter().flat_map(|s| s.to_ne_bytes()).collect();
                    let mut buffer = gst::Buffer::from_mut_slice(bytes);
                    let (pts, end) = (time(start), time(start + piece.len() as u64));
                    if let Some(buffer) = buffer.get_mut() {
                        buffer.set_pts(pts);
                        buffer.set_duration(end - pts);
                        buffer.set_offset(start);
                        if std::mem::take(&mut discont) {
                            buffer.set_flags(gst::BufferFlags::DISCONT);
                        }
                    }
                    // As soon as the engine has made them: the first sound comes long before the sentence is done.
                    flow = self.src.push(buffer);
                    if flow.is_err() {
                        return false;
                    }
                }
                true
            });
            let words = words.map_err(|e| post_error(self, &e))?;
            *lock(&self.stats) = session.stats();
            // After the position has been counted, so that a flush finds everything in order.
            flow?;
            let pad = lock(&self.words).clone();
            for word in words.into_iter().filter(|_| pad.is_some()) {
                let mut buffer = gst::Buffer::from_slice(word.text.into_bytes());
                let (pts, end) = (time(word.start), time(word.end));
                if let Some(buffer) = buffer.get_mut() {
                    buffer.set_pts(pts);
                    buffer.set_duration(end - pts);
                }
                // Nobody may want the words any more; the sound goes on.
                pad.as_ref().map(|p| p.push(buffer));
            }
        }
        *lock(&self.stats) = session.stats();
        Ok(gst::FlowSuccess::Ok)
    }

    /// Starts the streams of both source pads, once.
    fn start_streams(&self) {
        // Taken, so this runs once per stream, at the first text or at the end.
        let Some(event) = lock(&self.started).take() else { return };
        let Some(rate) = lock(&self.session).as_ref().map(Session::rate) else { return };
        let sound = gst_audio::AudioCapsBuilder::new_interleaved()
            .format(gst_audio::AUDIO_FORMAT_F32)
            .rate(rate as i32)
            .channels(1)
            .build();
        let words = lock(&self.words).clone();
        let id = match event.view() {
            gst::EventView::StreamStart(start) => start.stream_id().to_owned(),
            _ => return,
        };
        for (pad, caps, part) in [(Some(self.src.clone()), sound, "speech"), (words, text_caps(), "words")] {
            let Some(pad) = pad else { continue };
            // Two streams with one id would be taken for one by `streamsynchronizer` and others.
            let own_id = format!("{id}/{part}");
            let start = gst::event::StreamStart::builder(&own_id);
            // The same group as the text: they belong together in playback.
            let group = match event.view() {
                gst::EventView::StreamStart(start) => start.group_id(),
                _ => None,
            };
            let start = match group {
                Some(group) => start.group_id(group).build(),
                None => start.build(),
            };
            pad.push_event(start);
            pad.push_event(gst::event::Caps::new(&caps));
            pad.push_event(segment());
        }
    }

    fn push_event(&self, event: &gst::Event) -> bool {
        if let Some(words) = lock(&self.words).clone() {
            words.push_event(event.clone());
        }
        self.src.push_event(event.clone())
    }
}
