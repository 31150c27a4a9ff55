/** Parts of a page that are drawn one after the other, each in a task of its own. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

const tasks: (() => void)[] = [];
let channel: MessageChannel | null = null;

/** Do something in a task to come: between any two of them the browser may answer, and draw a frame. */
export function soon(task: () => void): void {
  if (!channel) {
    channel = new MessageChannel();
    channel.port1.onmessage = () => {
      if (tasks.length > 1) channel!.port2.postMessage(null);
      tasks.shift()!();
    };
  }
  tasks.push(task);
  if (tasks.length === 1) channel.port2.postMessage(null);
}

/**
 * Draw what is inside in a task of its own, at first and where it changes.
 *
 * It stays a moment behind the rest of the page. What changed again meanwhile is drawn once.
 */
export function Staged({ children }: { children: ComponentChildren }) {
  const [shown, show] = useState<ComponentChildren>(null);
  const latest = useRef(children);
  const state = useRef({ isQueued: false, isGone: false });
  latest.current = children;
  useLayoutEffect(() => {
    if (state.current.isQueued || children === shown) return;
    state.current.isQueued = true;
    soon(() => {
      state.current.isQueued = false;
      if (!state.current.isGone) show(latest.current);
    });
  });
  useLayoutEffect(() => () => void (state.current.isGone = true), []);
  return <>{shown}</>;
}
