// <siskin-video src="film.mkv">: plays the video of Siskin's block codec, with its sound.

import { SiskinMedia } from "./element.js";
import { VideoView } from "./video-view.js";

/** The views by their players, which count frames. */
const views = new WeakMap();

/** Plays the video of a file with its sound. */
export class SiskinVideo extends SiskinMedia {
  static wantsVideo = true;

  createView() {
    const view = new VideoView(this);
    views.set(this, view);
    return view;
  }

  /** Columns and rows of the frames; 0 before they are known, and for a file without video. */
  get videoWidth() { return this.video?.width ?? 0; }
  get videoHeight() { return this.video?.height ?? 0; }

  /** As HTMLVideoElement's, of the file that is open: frames that were shown or should have been, and those that came too late. */
  getVideoPlaybackQuality() {
    const { shown, dropped } = views.get(this);
    return { creationTime: performance.now(), totalVideoFrames: shown + dropped, droppedVideoFrames: dropped };
  }
}

if (!customElements.get("siskin-video")) customElements.define("siskin-video", SiskinVideo);
