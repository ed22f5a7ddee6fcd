// The browser's own controls: keys, lock screens, headphones. A page has them once: they are those of the player started last.

const ACTIONS = ["play", "pause", "seekbackward", "seekforward", "seekto"];
/** The player that has them. */
let holder;

function setHandler(action, handler) {
  // Each browser knows others.
  try { navigator.mediaSession.setActionHandler(action, handler); } catch { /* not this one */ }
}

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
  for (const action of ACTIONS) setHandler(action, actions[action]);
  tellMediaSession(player);
}

/** Takes them from a player that has nothing to play any more. */
export function releaseMediaSession(player) {
  if (holder !== player) return;
  holder = undefined;
  const session = navigator.mediaSession;
  session.metadata = null;
  session.playbackState = "none";
  session.setPositionState?.();
  for (const action of ACTIONS) setHandler(action, null);
}

/** Tells the state of a player, if it has them. */
export function tellMediaSession(player) {
  if (holder !== player) return;
  const session = navigator.mediaSession;
  const { paused, duration, playbackRate, currentTime } = player;
  session.playbackState = paused ? "paused" : "playing";
  if (duration > 0) session.setPositionState?.({ duration, playbackRate, position: Math.min(currentTime, duration) });
}
