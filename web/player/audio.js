// <siskin-audio src="talk.mka">: plays Siskin's sound files.

import { SiskinMedia } from "./element.js";
import { View } from "./view.js";

/** Plays the sound of a file. */
export class SiskinAudio extends SiskinMedia {
  createView() {
    return new View(this);
  }
}

if (!customElements.get("siskin-audio")) customElements.define("siskin-audio", SiskinAudio);
