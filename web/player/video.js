// <siskin-video src="film.mkv">: plays the video of Siskin's block codec, with its sound.

import { SiskinMedia } from "./element.js";
import { VideoView } from "./video-view.js";

/** Plays the video of a file with its sound. */
export class SiskinVideo extends SiskinMedia {
  static wantsVideo = true;

  createView() {
    return new VideoView(this);
  }

  /** Columns and rows of the frames; 0 before they are known, and for a file without video. */
  get videoWidth() { return this.video?.width ?? 0; }
  get videoHeight() { return this.video?.height ?? 0; }
}

if (!customElements.get("siskin-video")) customElements.define("siskin-video", SiskinVideo);
