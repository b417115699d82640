"""ibsym compress, ibsym decompress: images as bits through a trained model, and back."""

from __future__ import annotations

from pathlib import Path

import click

from ibsym.cli.common import TABLES, Command, say, show
from ibsym.files import write


def _needed() -> None:
    from ibsym.training.failures import need

    need("torch", "constriction", "PIL", purpose="compression", extra="compression")


@click.command("compress", cls=Command)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", "file", required=True, type=click.Path(path_type=Path), help="The file to write, such as out.ibz."
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing.")
@TABLES
def compress_command(model: Path, images: tuple[Path, ...], file: Path, quiet: bool, form: str) -> None:
    r"""Write images as the bits of a compression model's code.

    MODEL is the folder of a run of `ibsym train` of a system whose codes are quantised; IMAGES are a folder or files of the size that it
    was trained with, grey. An earlier file of the name is replaced when the new one is whole.

    \b
    Examples:
      ibsym train SPEC --data digits -o runs/codec
      ibsym compress runs/codec scans -o scans.ibz
    """
    _needed()
    from ibsym.coding.finding import remember
    from ibsym.coding.pictures import load
    from ibsym.coding.run import codec_of
    from ibsym.files import sweep

    codec = codec_of(model)
    remember(codec, model)
    pixels = load(images, codec.height, codec.width)
    written = codec.encode(pixels)
    if file.parent.is_dir():
        sweep(file.parent, (file.name,))
    write(file, written.data)
    if quiet:
        return
    size = 8 * len(written.data)
    each = size / max(1, pixels.size)
    if form == "json":
        found = {"file": str(file), "images": len(pixels), "bits": size, "bits_around_the_code": size - 8 * written.code}
        show({**found, "bits_by_the_model": written.rate, "bits_a_pixel": each})
        return
    say(f"{file}: {len(pixels)} images in {len(written.data)} bytes, {each:.3f} bits a pixel")
    say(
        f"  the model's rate {written.rate:.1f} bits, the file {size} ({100 * (size / written.rate - 1):+.1f} %), "
        f"{size - 8 * written.code} of them around the code"
        if written.rate
        else f"  the model's rate 0 bits, the file {size}"
    )


@click.command("decompress", cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--model", type=click.Path(path_type=Path), help="The folder of the run that wrote it, where it is not found by itself."
)
@click.option("-o", "--output", "folder", required=True, type=click.Path(path_type=Path), help="A folder, new or empty.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing.")
@TABLES
def decompress_command(file: Path, model: Path | None, folder: Path, quiet: bool, form: str) -> None:
    r"""Write the images that a file holds the code of.

    The model is found by the digest in the file: where `ibsym compress` had it on this machine, beside the file, or below the working
    folder. The images come as 0.png, 1.png, ... in the order in which they were compressed, all of them or none.

    \b
    Examples:
      ibsym decompress scans.ibz -o scans-again
      ibsym decompress scans.ibz --model runs/codec -o again
    """
    _needed()
    from ibsym.coding.container import CodeError, read, unpacked
    from ibsym.coding.finding import codec_for
    from ibsym.coding.pictures import check, save

    check(folder)
    try:
        data = read(file)
        contents = unpacked(data)
        codec = codec_for(contents, file, model)
        save(folder, codec.decode(data), contents.images)
    except CodeError as error:
        raise error if str(file) in str(error) else CodeError(f"{file}: {error}") from None
    if form == "json" and not quiet:
        show({"folder": str(folder), "images": contents.images, "height": contents.height, "width": contents.width})
    elif not quiet:
        say(f"{folder}: {contents.images} images of {contents.height} x {contents.width}")
