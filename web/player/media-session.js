// The browser's own controls: keys, lock screens, headphones. A page has them once: they are those of the player started last.

/** The player that has them. */
let holder;

/** Gives them to a player. */
export function takeMediaSession(player) {
  const session = navigator.mediaSession;
  if (!session) return;
  holder = player;
  const { TITLE, ARTIST, ALBUM } = player.tags;
  const title = player.title || TITLE || document.title;
  session.metadata = new MediaMetadata({ title, artist: ARTIST ?? "", album: ALBUM ?? "" });
  const by = (step) => (details) => { player.currentTime += step * (details.seekOffset ?? 10); };
  const actions = {
    play: () => player.play().catch(() => undefined),
    pause: () => player.pause(),
    seekbackward: by(-1),
    seekforward: by(1),
    seekto: (details) => { player.currentTime = details.seekTime; },
  };
  for (const [action, handler] of Object.entries(actions)) {
    // Each browser knows others.
    try { session.setActionHandler(action, handler); } catch { /* not this one */ }
  }
  tellMediaSession(player);
}

/** Tells the state of a player, if it has them. */
export function tellMediaSession(player) {
  if (holder !== player) return;
  const session = navigator.mediaSession;
  const { paused, duration, playbackRate, currentTime } = player;
  session.playbackState = paused ? "paused" : "playing";
  if (duration > 0) session.setPositionState?.({ duration, playbackRate, position: Math.min(currentTime, duration) });
}
