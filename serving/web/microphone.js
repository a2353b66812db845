// Takes the microphone apart into packets of 16-bit sound at 24 kHz, beside the page's own thread.

const RATE = 24000, PACKET = RATE / 25;

class Packets extends AudioWorkletProcessor {
  constructor() {
    super();
    this.packet = new Int16Array(PACKET);
    this.filled = 0;
    this.step = sampleRate / RATE;
    this.sum = this.weight = 0;
  }

  // The mean of the samples that a new one stands for: enough of a filter for speech.
  process([[samples]]) {
    for (const sample of samples ?? []) {
      let left = 1;
      while (left > 0) {
        const part = Math.min(left, this.step - this.weight);
        this.sum += part * sample;
        this.weight += part;
        left -= part;
        if (this.weight >= this.step - 1e-9) this.put(this.sum / this.weight);
      }
    }
    return true;
  }

  put(value) {
    this.packet[this.filled++] = Math.round(32767 * Math.max(-1, Math.min(1, value)));
    this.sum = this.weight = 0;
    if (this.filled < PACKET) return;
    this.port.postMessage(this.packet.buffer, [this.packet.buffer]);
    this.packet = new Int16Array(PACKET);
    this.filled = 0;
  }
}

registerProcessor("packets", Packets);
