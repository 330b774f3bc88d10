// A mask that is painted: strokes, boxes, inversion, undo. It knows neither dialogs nor the server.
//
// What was done is kept as a list; undo paints the rest of it again. So a large picture needs no copies of itself.

const BAND = 64; // rows
const [BLACK, WHITE] = [0xff000000, 0xffffffff]; // a pixel's four bytes as one number, its alpha on top

const painted = (pixel) => pixel >>> 31 > 0; // alpha above 127

export class Mask {
  /** On a canvas of the picture's own size: what is painted is opaque, the rest is clear. */
  constructor(canvas, width, height) {
    Object.assign(canvas, { width, height });
    Object.assign(this, { canvas, width, height, done: [], undone: [] });
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.changed = () => {};
  }

  /** Do something that can be undone: {line, size, erase}, {box, erase}, {image}, "invert", "clear". */
  add(deed) {
    this.done.push(deed);
    this.undone = [];
    this.paint(deed);
    this.changed();
  }

  /** A stroke that grows while it is drawn. */
  begin(point, size, erase) {
    this.add({ kind: "line", line: [point], size, erase });
  }

  draw(points) {
    const stroke = this.done.at(-1);
    if (stroke?.kind !== "line") return;
    const from = stroke.line.at(-1);
    stroke.line.push(...points);
    this.paint({ ...stroke, line: [from, ...points] });
  }

  undo() {
    if (!this.done.length) return;
    this.undone.push(this.done.pop());
    this.again();
  }

  redo() {
    if (!this.undone.length) return;
    this.done.push(this.undone.pop());
    this.again();
  }

  again() {
    this.context.clearRect(0, 0, this.width, this.height);
    for (const deed of this.done) this.paint(deed);
    this.changed();
  }

  paint(deed) {
    const context = this.context;
    context.save();
    context.fillStyle = context.strokeStyle = "#d1495b";
    PAINTS[deed.kind](context, deed, this);
    context.restore();
  }

  /** Is nothing painted? A large picture is read in bands, up to the first pixel that is. */
  get empty() {
    for (let top = 0; top < this.height; top += BAND) {
      const { data } = this.context.getImageData(0, top, this.width, Math.min(BAND, this.height - top));
      if (new Uint32Array(data.buffer).some(painted)) return false;
    }
    return true;
  }

  /** The mask as a file: white where it is painted, black elsewhere. */
  async file() {
    const out = new OffscreenCanvas(this.width, this.height);
    const image = this.context.getImageData(0, 0, this.width, this.height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let k = 0; k < pixels.length; k += 1) pixels[k] = painted(pixels[k]) ? WHITE : BLACK;
    out.getContext("2d").putImageData(image, 0, 0);
    return new File([await out.convertToBlob({ type: "image/png" })], "mask.png", { type: "image/png" });
  }
}

const PAINTS = {
  line(context, { line, size, erase }) {
    if (erase) context.globalCompositeOperation = "destination-out";
    Object.assign(context, { lineWidth: size, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(...line[0]);
    for (const point of line.length > 1 ? line.slice(1) : line) context.lineTo(...point);
    context.stroke();
  },
  box(context, { box: [x0, y0, x1, y1], erase }) {
    if (erase) context.globalCompositeOperation = "destination-out";
    const [left, right] = [Math.min(x0, x1), Math.max(x0, x1)].map(Math.round);
    const [top, bottom] = [Math.min(y0, y1), Math.max(y0, y1)].map(Math.round);
    context.fillRect(left, top, right - left, bottom - top);
  },
  invert(context, deed, { width, height }) {
    context.globalCompositeOperation = "xor";
    context.fillRect(0, 0, width, height);
  },
  clear(context, deed, { width, height }) {
    context.clearRect(0, 0, width, height);
  },
  image(context, { image }, { width, height }) {
    const other = new OffscreenCanvas(width, height);
    const theirs = other.getContext("2d");
    theirs.drawImage(image, 0, 0, width, height);
    const found = theirs.getImageData(0, 0, width, height);
    for (let k = 0; k < found.data.length; k += 4) {
      const white = found.data[k + 3] > 127 && found.data[k] + found.data[k + 1] + found.data[k + 2] > 3 * 127;
      found.data.set([209, 73, 91, white ? 255 : 0], k);
    }
    theirs.putImageData(found, 0, 0);
    context.drawImage(other, 0, 0);
  },
};
