// What a person sees, hears from a screen reader and presses.

export const STYLE = `
:host { display: block; font: 14px/1.4 system-ui, sans-serif; color: var(--siskin-color, CanvasText); max-width: 40rem; }
:host([hidden]) { display: none; }
.player { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem; padding: .5rem; border-radius: .5rem;
  border: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
button, select { font: inherit; color: inherit; background: none; border: 1px solid transparent; border-radius: .25rem;
  min-width: 2rem; min-height: 2rem; cursor: pointer; }
select option { color: CanvasText; background: Canvas; }
button:hover, select:hover { border-color: currentColor; }
:focus-visible { outline: 2px solid var(--siskin-accent, #b8860b); outline-offset: 1px; }
.wave { flex: 1 1 12rem; height: 3rem; cursor: pointer; position: relative; touch-action: none; }
canvas { width: 100%; height: 100%; display: block; }
.time { font-variant-numeric: tabular-nums; white-space: nowrap; }
.volume { width: 5rem; }
.message { flex-basis: 100%; }
/* In narrow places what has keys too goes first. A container has no width of its own, and in a flex row none at all without one. */
:host { container-type: inline-size; contain-intrinsic-inline-size: 20rem; }
@container (max-width: 21rem) { .speed, .full { display: none; } }
@container (max-width: 17rem) { .volume { display: none; } }
.message:empty { display: none; }
svg { width: 1.2rem; height: 1.2rem; fill: currentColor; vertical-align: middle; }
`;

const ICONS = {
  play: '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M7 4v16l13-8z"/></svg>',
  pause: '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 4h4v16H6zM14 4h4v16h-4z"/></svg>',
  loud: '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 9v6h4l5 5V4L8 9zM15 8a5 5 0 0 1 0 8z"/></svg>',
  muted: '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 9v6h4l5 5V4L8 9zM15 9l6 6-1 1-6-6zM20 8l1 1-6 6-1-1z"/></svg>',
};

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2, 3];

const STAGE = "<!-- stage -->";

const HTML = `<style>${STYLE}</style>
<div class="player" role="group" part="player">
${STAGE}
<button class="play" part="button"></button>
<div class="wave" part="wave" role="slider" tabindex="0" aria-label="Position" aria-valuemin="0"><canvas></canvas></div>
<span class="time" part="time" aria-hidden="true"></span>
<button class="mute" part="button"></button>
<input class="volume" part="volume" type="range" min="0" max="1" step="0.05" aria-label="Volume">
<select class="speed" part="speed" aria-label="Speed">${SPEEDS.map((s) => `<option value="${s}">${s}×</option>`).join("")}</select>
<div class="message" part="message" role="alert"></div>
</div>`;

/** Seconds as 1:02:03. */
export function formatTime(seconds) {
  if (!Number.isFinite(seconds)) return "–:––";
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

/** Seconds as a screen reader should say them. */
function spokenTime(seconds) {
  if (!Number.isFinite(seconds)) return "unknown length";
  const whole = Math.floor(seconds);
  const parts = [[Math.floor(whole / 3600), "hour"], [Math.floor(whole / 60) % 60, "minute"], [whole % 60, "second"]];
  const said = parts.filter(([n, unit]) => n > 0 || (unit === "second" && whole < 1));
  return said.map(([n, unit]) => `${n} ${unit}${n === 1 ? "" : "s"}`).join(" ");
}

/** The inside of a player. */
export class View {
  /** What a screen reader says of a player without a title. */
  name = "Audio player";

  /**
   * @param {HTMLElement & Record<string, any>} player
   * @param {string} [stage] what stands above the controls
   */
  constructor(player, stage = "") {
    this.player = player;
    const root = player.attachShadow({ mode: "open", delegatesFocus: true });
    root.innerHTML = HTML.replace(STAGE, stage);
    this.find = (name) => root.querySelector(name);
    this.reset();
    this.listen(root);
    new ResizeObserver(() => this.draw()).observe(this.find(".wave"));
  }

  reset() {
    this.peaks = new Float32Array(0);
    this.peakCount = 0;
    this.perSecond = 1;
    this.damage = this.notice = "";
    this.update();
  }

  listen(root) {
    const { player } = this;
    this.find(".play").onclick = () => player.togglePlay();
    this.find(".mute").onclick = () => { player.muted = !player.muted; };
    this.find(".volume").oninput = ({ target }) => { player.volume = Number(target.value); };
    this.find(".speed").onchange = ({ target }) => { player.playbackRate = Number(target.value); };
    const wave = this.find(".wave");
    const seekTo = ({ clientX }) => {
      const { left, width } = wave.getBoundingClientRect();
      if (player.duration > 0) player.currentTime = (Math.min(Math.max(clientX - left, 0), width) / width) * player.duration;
    };
    wave.onpointerdown = (event) => {
      if (event.button !== 0) return;
      wave.setPointerCapture(event.pointerId);
      seekTo(event);
    };
    wave.onpointermove = (event) => {
      if (wave.hasPointerCapture(event.pointerId)) seekTo(event);
    };
    root.addEventListener("keydown", (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.altKey && this.press(event)) event.preventDefault();
    });
  }

  /** Does what a key stands for; false if it stands for nothing here. */
  press({ key, target }) {
    const { player } = this;
    // The volume and the speed have keys of their own, and so do buttons.
    const isOnControl = target.matches("input, select");
    const isOnButton = target.matches("button");
    const by = (seconds) => { player.currentTime = Math.max(0, player.currentTime + seconds); };
    const louder = (step) => { player.volume = Math.min(Math.max(player.volume + step, 0), 1); };
    const faster = (step) => {
      const next = SPEEDS[SPEEDS.indexOf(player.playbackRate) + step];
      if (next) player.playbackRate = next;
    };
    const actions = {
      " ": isOnButton ? undefined : () => player.togglePlay(),
      k: () => player.togglePlay(),
      ArrowLeft: () => by(-5), ArrowRight: () => by(5),
      j: () => by(-10), l: () => by(10), PageDown: () => by(-30), PageUp: () => by(30),
      ArrowUp: () => louder(0.05), ArrowDown: () => louder(-0.05),
      Home: () => { player.currentTime = 0; },
      End: () => { if (player.duration > 0) player.currentTime = player.duration; },
      m: () => { player.muted = !player.muted; },
      "<": () => faster(-1), ">": () => faster(1),
    };
    const action = isOnControl ? undefined : actions[key];
    action?.();
    return Boolean(action);
  }

  /** Peaks of the waveform from place `from` on; those that nobody told are 0. */
  setPeaks({ from, values, perSecond }) {
    this.peakCount = Math.max(this.peakCount, from + values.length);
    if (this.peakCount > this.peaks.length) {
      const more = new Float32Array(Math.max(2 * this.peaks.length, this.peakCount));
      more.set(this.peaks);
      this.peaks = more;
    }
    this.peaks.set(values, from);
    this.perSecond = perSecond;
    this.draw();
  }

  /** What a person should know of the file. */
  setNotice(text) {
    this.notice = text;
    this.update();
  }

  setDamage({ badPackets, concealedSamples, endsEarly, damage, badFrames }) {
    const texts = [];
    if (badFrames > 0) texts.push(`${badFrames} frames are damaged and were left out.`);
    if (badPackets > 0) texts.push(`${badPackets} damaged packets were concealed.`);
    else if (concealedSamples > 0) texts.push("Missing packets were concealed.");
    if (damage) texts.push(`The file is damaged: ${damage}.`);
    else if (endsEarly) texts.push("The file is cut off.");
    this.damage = texts.join(" ");
    this.update();
  }

  /** Shows the player's state. Called often, so what has not changed is not touched: a screen reader would say it again. */
  update() {
    const { player } = this;
    const { currentTime, duration, paused, error } = player;
    set(this.find(".player"), "aria-label", player.getAttribute("title") || player.tags?.TITLE || this.name);
    this.label(".play", paused ? "Play" : "Pause", paused ? "play" : "pause");
    this.label(".mute", player.muted ? "Unmute" : "Mute", player.muted ? "muted" : "loud");
    this.find(".volume").value = String(player.volume);
    this.find(".speed").value = String(player.playbackRate);
    setText(this.find(".time"), `${formatTime(currentTime)} / ${formatTime(duration)}`);
    const wave = this.find(".wave");
    set(wave, "aria-valuemax", Number.isFinite(duration) ? duration.toFixed(0) : "0");
    set(wave, "aria-valuenow", currentTime.toFixed(0));
    set(wave, "aria-valuetext", `${spokenTime(currentTime)} of ${spokenTime(duration)}`);
    set(this.find(".player"), "aria-busy", String(Boolean(player.isWaiting)));
    setText(this.find(".message"), error ? `This cannot be played: ${error.message}` : `${this.notice} ${this.damage}`.trim());
    this.find(".play").disabled = Boolean(error);
    this.draw();
  }

  label(selector, text, icon) {
    const button = this.find(selector);
    if (button.getAttribute("aria-label") === text) return;
    setButton(button, text, ICONS[icon]);
  }

  /** Draws once before the next picture, however often it is asked to. */
  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.drawNow();
    });
  }

  drawNow() {
    const canvas = this.find(".wave canvas");
    const scale = globalThis.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
    if (width === 0 || height === 0) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.player);
    const accent = style.getPropertyValue("--siskin-accent").trim() || "#b8860b";
    const { duration, currentTime } = this.player;
    const seconds = Number.isFinite(duration) ? duration : this.peakCount / this.perSecond;
    const bar = 3 * scale;
    for (let x = 0; x < width; x += bar) {
      const [from, to] = [(x / width) * seconds, ((x + bar) / width) * seconds];
      let peak = 0;
      for (let i = Math.floor(from * this.perSecond); i < Math.max(to * this.perSecond, from * this.perSecond + 1); i++) {
        peak = Math.max(peak, this.peaks[i] ?? 0);
      }
      const tall = Math.max(scale, Math.min(peak, 1) * height);
      const isPlayed = from < currentTime;
      pen.fillStyle = isPlayed ? accent : style.color;
      pen.globalAlpha = isPlayed ? 1 : 0.45;
      pen.fillRect(x, (height - tall) / 2, bar - scale, tall);
    }
  }
}

/** Gives a button an icon and what is said of it. */
export function setButton(button, text, icon) {
  button.setAttribute("aria-label", text);
  button.title = text;
  button.innerHTML = icon;
}

/** Sets an attribute that has changed. */
export function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
