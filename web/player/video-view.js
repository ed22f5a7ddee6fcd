// Frames on a canvas above the player's controls, each at its time.

import { View, set, setButton } from "./view.js";

const STAGE = `<style>
:host { max-width: 60rem; }
.stage { flex-basis: 100%; min-width: 0; background: #000; cursor: pointer; display: flex; justify-content: center;
  align-items: center; }
.stage[hidden] { display: none; }
.frame { width: 100%; height: auto; }
.player:fullscreen { background: #000; color: #fff; border: none; align-content: stretch; }
.player:fullscreen .stage { flex: 1 1 100%; height: calc(100% - 4rem); }
.player:fullscreen .frame { width: auto; max-width: 100%; height: 100%; object-fit: contain; }
</style>
<div class="stage" part="stage" hidden><canvas class="frame" part="frame" role="img"></canvas></div>`;

const FULLSCREEN = '<svg viewBox="0 0 24 24" aria-hidden="true">' +
  '<path d="M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z"/></svg>';

/** The inside of a player of video. */
export class VideoView extends View {
  name = "Video player";

  constructor(player) {
    super(player, STAGE);
    this.canvas = this.find(".frame");
    this.pen = this.canvas.getContext("2d", { alpha: false });
    this.find(".stage").onclick = () => player.togglePlay();
    // Phones know it for <video> alone, and a frame of another page may not.
    if (!document.fullscreenEnabled) return;
    const button = document.createElement("button");
    button.className = "full";
    button.setAttribute("part", "button");
    setButton(button, "Full screen", FULLSCREEN);
    button.onclick = () => this.toggleFullscreen();
    this.find(".speed").after(button);
  }

  reset() {
    super.reset();
    this.clearFrames();
    this.shown = this.dropped = 0;
    this.find(".stage").hidden = true;
  }

  update() {
    super.update();
    const { video } = this.player;
    if (!video || !this.canvas) return;
    const stage = this.find(".stage");
    stage.hidden = false;
    const [across, down] = video.pixelAspect;
    this.canvas.style.aspectRatio = `${video.width * across} / ${video.height * down}`;
    set(this.canvas, "aria-label", this.find(".player").getAttribute("aria-label"));
  }

  press(event) {
    if (event.key !== "f" || !document.fullscreenEnabled || event.target.matches("input, select")) return super.press(event);
    this.toggleFullscreen();
    return true;
  }

  toggleFullscreen() {
    if (this.player.shadowRoot.fullscreenElement) document.exitFullscreen();
    // A page may forbid it; then it stays as it is.
    else this.find(".player").requestFullscreen().catch(() => undefined);
  }

  /** Forgets frames that wait: they are of before a seek. */
  clearFrames() {
    /** Frames by their time, which is that of the file in seconds: the first is on screen or will be next. */
    this.queue = [];
    this.onScreen = undefined;
  }

  /** A frame that was decoded: shown at its time, at once if it is the first. */
  addFrame(frame) {
    this.dropped += frame.skipped;
    this.queue.push(frame);
    // A hidden tab paints nothing, and its sound goes on: what is past would heap up.
    this.dropPast();
    this.schedule();
  }

  /** Forgets frames whose time is over. */
  dropPast() {
    const now = this.player.presentationTime;
    // The first frame behind a seek is the one that is on screen there, whatever its time.
    while (this.queue.length > 1 && this.queue[1].start <= now) {
      if (this.queue.shift() !== this.onScreen && !document.hidden) this.dropped += 1;
    }
    return now;
  }

  schedule() {
    this.next ??= requestAnimationFrame(() => {
      this.next = undefined;
      this.show();
      // While it plays time goes on without a message.
      if (this.queue.length > 0 && !this.player.paused) this.schedule();
    });
  }

  draw() {
    super.draw();
    if (this.queue?.length > 0) this.schedule();
  }

  /** Shows the frame whose time it is. */
  show() {
    const now = this.dropPast();
    const [frame] = this.queue;
    if (!frame || frame === this.onScreen || (this.onScreen && frame.start > now)) return;
    if (this.canvas.width !== frame.width || this.canvas.height !== frame.height) {
      Object.assign(this.canvas, { width: frame.width, height: frame.height });
    }
    this.pen.putImageData(new ImageData(new Uint8ClampedArray(frame.pixels), frame.width, frame.height), 0, 0);
    this.onScreen = frame;
    this.shown += 1;
    // Its pixels are on the canvas, and the next frame may be long in coming.
    frame.pixels = undefined;
  }
}
