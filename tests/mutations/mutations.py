"""Faults of one line each that the tests beside the code must notice: `python -m tests.mutations`.

A line is found by its text, so that the list survives when it moves, to another file, too.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """`old` becomes `new`; `tests` must then fail. It stands exactly once in `acestep_core` and `nodes`, or, for what
    tests need of a system, in none of them and once in `tests`.
    """

    old: str
    new: str
    tests: str


MUTATIONS = (
    # seeds
    Mutation("(seed + i) % (MAX_SEED + 1)", "(seed + i) % MAX_SEED", "tests/test_seeds.py"),
    Mutation(
        "\n    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <=",
        "\n    if not 0 <",
        "tests/test_seeds.py",
    ),
    Mutation("\n    if isinstance(seed, bool) or not", "\n    if not", "tests/test_seeds.py"),
    Mutation("angle = variance * math.pi / 2", "angle = variance * math.pi", "tests/test_seeds.py"),
    Mutation("1 <= batch <= MAX_BATCH", "1 <= batch", "tests/test_seeds.py"),
    # reference
    Mutation("generator)) // HOP * HOP for a, b in", "generator)) for a, b in", "tests/render/test_reference.py"),
    Mutation(
        "bias[[HEARD, HEARD_DRUMS, HEARD_LEAD]] = -1",
        "bias[[HEARD_DRUMS, HEARD_LEAD]] = -1",
        "tests/builtin/test_timbre.py",
    ),
    Mutation(
        "k_proj.weight[DRUMS + 1, END] = 4 / MARK_LEVEL",
        "k_proj.weight[DRUMS + 1, END] = 0",
        "tests/builtin/test_timbre.py",
    ),
    # song
    Mutation("min(code, CODEBOOK_SIZE - 1)", "min(code, CODEBOOK_SIZE)", "tests/song"),
    Mutation("round(seconds * CODE_RATE, 6)", "seconds * CODE_RATE", "tests/song"),
    Mutation("or not 0 <= code < CODEBOOK_SIZE", "or not 0 <= code <= CODEBOOK_SIZE", "tests/song"),
    Mutation("return float(value) if math.isfinite(value) else None", "return float(value)", "tests/test_values.py"),
    Mutation("found is not None and found == int(found) else None", "found is not None else None", "tests/song"),
    Mutation("UNKNOWN_LANGUAGE if instrumental else language", "language", "tests/song"),
    # io
    Mutation("temporary.touch(exist_ok=False)", "pass", "tests/io"),
    Mutation(
        "return max((int(match[1]) for match in found", "return min((int(match[1]) for match in found", "tests/io"
    ),
    Mutation("for place, is_there in inside if is_there), inside[0][0])", "for place, _ in inside))", "tests/io"),
    Mutation(
        "return at if magic[:4] in (*_CHUNKED", "return 0 if magic[:4] in (*_CHUNKED", "tests/io/test_recordings.py"
    ),
    Mutation("if value == TO_DRAW and self._may_draw(*place)", "if value == TO_DRAW", "tests/host/test_workflow.py"),
    Mutation("temporary.unlink(missing_ok=True)", "pass", "tests/io"),
    Mutation("[places // parts]", "[places // parts - 1]", "tests/io"),
    Mutation("waveform.clamp_(-1.0, 1.0)", "waveform", "tests/io"),
    Mutation('channels, dtype="float32", quality="HQ"', 'channels, dtype="float32", quality="QQ"', "tests/io"),
    # other systems
    Mutation(
        'unicodedata.normalize("NFC", name).casefold())',
        'unicodedata.normalize("NFC", name))',
        "tests/io/test_names.py",
    ),
    Mutation(
        "os.link(source, target, follow_symlinks=False)",
        "os.replace(source, target); return",
        "tests/io/test_staging.py",
    ),
    Mutation("and same_name(name, safe_name(name))):", "and name == safe_name(name)):", "tests/host/test_security.py"),
    Mutation(
        "return min(tile, possible if possible > 0 else SMALLEST_TILE)", "return tile", "tests/render/test_vae.py"
    ),
    Mutation("if longest is None or length <= longest:", "if True:", "tests/render/test_vae.py"),
    Mutation("if longest is None or length - 2 * padding <= longest:", "if True:", "tests/render/test_vae.py"),
    Mutation("return MPS if _macos() >= (15, 1) else MPS_BEFORE_15_1", "return MPS", "tests/test_devices.py"),
    Mutation(
        "return not (system.WINDOWS or system.MACOS)", "return not system.WINDOWS", "tests/checkpoints/test_weights.py"
    ),
    Mutation(
        "in Weights(header.tensors, mapped=False).items()",
        "in Weights(header.tensors).items()",
        "tests/models/test_replaced_files.py::test_an_adapter_is_never_mapped",
    ),
    Mutation('"winerror", None) == 1455', '"winerror", None) == 1', "tests/checkpoints/test_weights.py"),
    Mutation(
        "confine(Path(*map(safe_name, wanted.parent.parts)), [root])",
        "confine(Path(*wanted.parent.parts), [root])",
        "tests/host/test_paths.py",
    ),
    Mutation(
        '[part if part in ("..", "/") else safe_name(part) for part in parts.parent.parts]',
        "list(parts.parent.parts)",
        "tests/nodes/test_save_nodes.py",
    ),
    Mutation("if _RESERVED.fullmatch(name):", "if False:", "tests/io/test_names.py"),
    Mutation('"system": system.NAME}', '"system": str(system.WINDOWS)}', "tests/test_rooms.py"),
    Mutation("if is_foreign(path):", "if False:", "tests/io/test_confine.py"),
    Mutation("for name in names.spellings(bundle.target + suffix)", "for name in [bundle.target + suffix]", "tests/io"),
    Mutation("key=lambda other: (other != name, other))", "key=lambda other: other)", "tests/io"),
    Mutation(
        "next(iter(Taken(path.name for path in folder.iterdir()).spellings(name)), name)",
        "name",
        "tests/host/test_security.py",
    ),
    Mutation(
        "alike = (file.parent, folded(file.name),", "alike = (file.parent, file.name,", "tests/train/test_scan.py"
    ),
    Mutation(
        "alike = (file.parent, folded(file.name), sample.sha256)",
        "alike = (file.parent, folded(file.name))",
        "tests/train/test_scan.py",
    ),
    Mutation("if not (system.WINDOWS and left):", "if True:", "tests/io/test_staging.py"),
    Mutation(
        "(mask is not None or causal or q.shape[2] <= 8)",
        "(mask is not None or causal)",
        "tests/pipeline/test_limits.py",
    ),
    Mutation(
        "(mask is not None or causal or q.shape[2] <= 8)",
        "(causal or q.shape[2] <= 8)",
        "tests/pipeline/test_limits.py",
    ),
    Mutation(
        "(mask is not None or causal or q.shape[2] <= 8)",
        "(mask is not None or q.shape[2] <= 8)",
        "tests/pipeline/test_limits.py",
    ),
    Mutation("if devices.limits(ids.device).shifts:", "if True:", "tests/pipeline/test_limits.py"),
    Mutation("+ _END, re.IGNORECASE), label)", "+ _END), label)", "tests/host/test_security.py"),
    Mutation(
        "(errno.ENAMETOOLONG, errno.EINVAL, errno.ENOENT):",
        "(errno.ENAMETOOLONG, errno.EINVAL):",
        "tests/io/test_atomic.py",
    ),
    Mutation(
        "_units(text) > _SAFE and not text.startswith(_MARK) else path",
        "False else path",
        "tests/io/test_long_paths.py",
    ),
    Mutation(
        "short = fitting(bundle.stem, folder, added + len(delivery.end) + _NUMBER)",
        "short = bundle.stem",
        "tests/io/test_long_paths.py",
    ),
    Mutation(
        "    memory = psutil.virtual_memory()\n",
        "    memory = psutil.virtual_memory() if sys.modules['os'].sysconf('SC_AVPHYS_PAGES') else None\n",
        "tests/host/test_server.py",
    ),
    Mutation(
        "return psutil.virtual_memory().available",
        "import os; return os.sysconf('SC_AVPHYS_PAGES')",
        "tests/test_devices.py",
    ),
    Mutation(
        "# shares main memory\n        return torch.mps.recommended_max_memory()",
        "# shares main memory\n        return 0",
        "tests/test_devices.py",
    ),
    Mutation(
        "@needs_proc\ndef test_memory_of_a_long_song_stays",
        "def test_memory_of_a_long_song_stays",
        "tests/test_capabilities.py",
    ),
    Mutation(
        'link(tmp_path / "model.safetensors", tmp_path / "blobs" / digest)',
        '(tmp_path / "model.safetensors").symlink_to(tmp_path / "blobs" / digest)',
        "tests/test_capabilities.py",
    ),
    Mutation('pytest.skip(f"this user may make no links: {error}")', "raise", "tests/test_capabilities.py"),
    Mutation("return own if Path(own).is_file() else None", "return named", "tests/test_capabilities.py"),
    Mutation("return own if Path(own).is_file() else None", "return own", "tests/test_capabilities.py"),
    Mutation(
        'for name in available_devices() if name != "cpu"]',
        'for name in available_devices() if "cuda" in name]',
        "tests/test_devices.py",
    ),
    Mutation(
        "exact = found if devices.limits(found.device).float64 else found.cpu()",
        "exact = found",
        "tests/judge/test_alignment.py",
    ),
    Mutation(
        "squares += torch.linalg.vector_norm(exact, ",
        "squares += torch.linalg.vector_norm(found, ",
        "tests/judge/test_alignment.py",
    ),
    Mutation(
        "    k = k.float() * q.shape[-1] ** -0.5\n",
        "    k = k.double() * q.shape[-1] ** -0.5\n",
        "tests/test_devices.py",
    ),
    Mutation(
        "return torch.float64 if devices.limits(tensor.device).float64 else",
        "return torch.float64 if True else",
        "tests/render/test_guidance.py",
    ),
    Mutation("devices.limits(value.device).fused_steps for", "True for", "tests/train/test_optimizers.py"),
    Mutation('enumerate(text.split("\\n"), 1):', "enumerate(text.splitlines(), 1):", "tests/host/test_rows.py"),
    Mutation(
        'self.log.read_text(encoding="utf-8").split("\\n"):',
        'self.log.read_text(encoding="utf-8").splitlines():',
        "tests/train/test_checkpoints.py",
    ),
    Mutation("elif has_soxr():", "elif True:", "tests/io/test_rates.py"),
    Mutation(
        'if packs.name == "custom_nodes" and models.is_dir() else user_folder()',
        "if False else user_folder()",
        "tests/io/test_folders.py",
    ),
    Mutation(
        'subfolder.replace("\\\\", "/").split("/") if part', 'subfolder.split("/") if part', "tests/host/test_client.py"
    ),
    # planner
    Mutation('str(value).removesuffix("/4")', "str(value)", "tests/parity/test_prompts.py"),
    Mutation('.removesuffix("<|im_end|>")', "", "tests/parity/test_parsing.py"),
    Mutation("return replace(other, **self.fields())", "return other", "tests/planner/test_plan.py"),
    Mutation('decided.pop("language", None)', "pass", "tests/planner/test_plan.py"),
    Mutation("masked_fill(before > p", "masked_fill(before >= 2 * p", "tests/planner/test_sampling.py"),
    Mutation("others <= sampling.top_p - _UNSURE", "others <= 1.0", "tests/planner/test_sampling.py"),
    Mutation(
        "logits < 0, logits * penalty",
        "logits < 0, logits / penalty",
        "tests/parity/test_parsing.py",
    ),
    Mutation("self.seen.scatter_(1, chosen[:, None], True)", "pass", "tests/planner/test_decode.py"),
    Mutation("chosen = chosen.masked_fill(self.ended, self.end)", "pass", "tests/planner/test_decode.py"),
    # train
    Mutation('{text}" if position == "prepend"', '{text}" if position == "append"', "tests/train/test_dataset.py"),
    Mutation("math.floor(found + 0.5)", "int(found)", "tests/train/test_dataset.py"),
    Mutation("std * self._noisy", "std", "tests/train/test_preprocess.py"),
    Mutation('f"conditions/{encoders}")', '"conditions/any")', "tests/train/test_preprocess.py"),
    Mutation(
        "weights_only=True)\n    except (OSError, Run", "weights_only=False)\n    except (OSError, Run", "tests/train"
    ),
    Mutation('if origin == "user" or', "if", "tests/train/test_scan.py"),
    Mutation("self.ended = epoch  # before", "pass  # before", "tests/train/test_trainer.py"),
    Mutation(
        "return torch.sigmoid(normal * sigma + mu).amax(0)",
        "return torch.sigmoid(normal * sigma + mu)[0]",
        "tests/parity/test_training.py",
    ),
    Mutation("* root\n", "\n", "tests/train/test_export.py"),
    # judge
    Mutation("upper if size % 2 else", "upper if True else", "tests/judge/test_alignment.py"),
    Mutation(
        "take_above = (above < diagonal)",
        "take_above = (above <= diagonal)",
        "tests/judge/test_alignment.py",
    ),
    Mutation("centres[:-1] - overlap_frames", "centres[:-1]", "tests/judge/test_alignment.py"),
    Mutation("row >= row.max() / 2", "row >= row.max()", "tests/judge/test_alignment.py"),
    Mutation(") or top_k < 1:", ") or top_k < 0:", "tests/judge/test_lm_score.py"),
    Mutation("end > chars.start]", "end >= chars.start]", "tests/judge/test_lm_score.py"),
    Mutation(
        "limit = following[0].start if following else math.inf",
        "limit = math.inf",
        "tests/judge/test_subtitles.py",
    ),
    # words
    Mutation("if dressed or bare else None", "if dressed else None", "tests/song/test_lyrics.py"),
    Mutation("words and words & _SECTIONS else None", "words else None", "tests/song/test_lyrics.py"),
    Mutation("not any(word.isascii() for word in words)", "False", "tests/song/test_lyrics.py"),
    Mutation("needed > there * CROWDED", "needed > there * 9", "tests/song/test_singing.py"),
    Mutation('lost.count("\\n") + 1 if lost', 'lost.count("\\n") if lost', "tests/pipeline/test_lyric_report.py"),
    Mutation("signs.get(entry.value.strip()) or ", "", "tests/planner/test_plan.py"),
    Mutation("following if time is None else time", "following", "tests/song/test_lyrics.py"),
    Mutation("or _THOUSANDS.fullmatch(text)", "", "tests/test_values.py"),
    Mutation("any(row[len(header) :])", "False", "tests/host/test_rows.py"),
    # host
    Mutation("heapq.heapify(self._pending)", "pass", "tests/host/test_prompt_queue.py"),
    Mutation("self._bytes -= len(ticket.text)", "pass", "tests/host/test_prompt_queue.py"),
    Mutation("if job_id in (None, ticket.job.id)]", "]", "tests/host/test_prompt_queue.py"),
    Mutation("self._bytes += item.size", "pass", "tests/host/test_load.py"),
    Mutation("self._log.started(ticket.job.id)", "pass", "tests/host/test_queue_log.py"),
    Mutation("elif before.starts >= MAX_STARTS:", "elif False:", "tests/host/test_crash.py"),
    Mutation("self._promoted.get(_key(node_id, name, leaf))", "None", "tests/host/test_canvas_widgets.py"),
    Mutation("return switches <= widgets", "return False", "tests/host/test_canvas_widgets.py"),
    Mutation("return self._left(address)[0] < 1", "return False", "tests/host/test_security.py"),
    Mutation("else max(0, len(ids) - max_items)", "else 0", "tests/host/test_server.py"),
    Mutation('if scheme.lower() == "bearer":', "if True:", "tests/host/test_security.py"),
    Mutation(
        'name = name.lower().rstrip(".")',
        "name = name.lower()",
        "tests/host/test_security.py",
    ),
    # what goes on, and what went together
    Mutation("min(able or found.dits, key=_rank)", "min(found.dits, key=_rank)", "tests/pipeline/test_front_door.py"),
    Mutation("number * workflow.batch_size", "number", "tests/commands/test_run.py"),
    Mutation("at_once=recipe.at_once,", "", "tests/pipeline/test_front_door.py"),
    Mutation("replace(decode, tile=tiles[-1])", "replace(decode, tile=tile)", "tests/pipeline/test_front_door.py"),
    Mutation(
        "or (optional and len(self._backlog) >= CROWDED)",
        "",
        "tests/host/test_security.py::test_a_client_that_lags_behind_gets_results_but_no_more_progress",
    ),
    # records
    Mutation("entry[:2] == [size, changed]", "entry[:1] == [size]", "tests/records"),
    Mutation("_sha256(path, *file_stamp(path)[1:])", "_sha256(path, file_stamp(path)[1], 0)", "tests/records"),
    # models
    Mutation(
        "free_memory(device) < needed + RESERVE", "free_memory(device) < needed", "tests/models/test_placement.py"
    ),
    Mutation("working(entry.product) if callable(working) else working", "0", "tests/models/test_placement.py"),
    Mutation("if entry is keep or entry.pins or", "if entry is keep or", "tests/models/test_placement.py"),
    Mutation("smaller = max(min(least, size), size // 2)", "smaller = size", "tests/models/test_placement.py"),
    Mutation(
        "found.append(file_stamp(file))",
        "found.append((*file_stamp(file)[:2], 0))",
        "tests/models/test_replaced_files.py",
    ),
    Mutation(
        "config.head_dim * 2\n    return per_token",
        "config.head_dim\n    return per_token",
        "tests/models/test_memory.py",
    ),
    Mutation("return layer % 2 == 0", "return layer % 2 == 1", "tests/models/test_dit.py"),
    Mutation(
        "return LowRank(down, scale * up.float())", "return LowRank(down, up.float())", "tests/models/test_lora.py"
    ),
    # render
    Mutation("task.instruction, task.prompt_seconds, task", "task.instruction, task", "tests/render/test_sampler.py"),
    Mutation("task.switches, task.chunk_mask, task", "task.switches, task", "tests/render/test_sampler.py"),
    Mutation("if all(row is group[0] for row in group)", "if True", "tests/render/test_sampler.py"),
    Mutation("return inside.clamp(-1, 1)", "return inside", "tests/render/test_repaint.py"),
    Mutation("momentum * self.average", "self.average", "tests/render/test_guidance.py"),
    Mutation("return (step.then * flow.draw()", "return (step.now * flow.draw()", "tests/render/test_loop.py"),
    Mutation("level = 1 - cover_noise_strength", "level = cover_noise_strength", "tests/render/test_schedule.py"),
    Mutation("    return (1 - factor) * velocity +", "    return factor * velocity +", "tests/render/test_guidance.py"),
    Mutation("high = (1 - t) * high", "high = t * high", "tests/render/test_wavelet.py"),
    Mutation("10.0 ** (peak_db / 20.0)", "10.0 ** (peak_db / 10.0)", "tests/render/test_post.py"),
    Mutation("(limit / norm).clamp(max=1.0)", "(limit / norm)", "tests/render/test_guidance.py"),
    # pipeline
    Mutation(
        "replace(handle, dtype=dtype) if isinstance(dtype, str) and dtype in devices.DTYPES else handle",
        "handle",
        "tests/pipeline/test_replay.py::test_number_formats_are_kept",
    ),
    Mutation(
        "seeds=part(self.seeds)", "seeds=self.seeds", "tests/pipeline/test_replay.py::test_selecting_keeps_the_places"
    ),
    Mutation(
        "batch[item] = record.codes",
        "pass",
        "tests/pipeline/test_replay.py::test_codes_can_be_edited_in_the_record",
    ),
    # nodes
    Mutation(
        "decode, finish = options.Decode.from_widgets(widgets), options",
        "decode, finish = options.Decode(), options",
        "tests/nodes/test_every_input.py::test_it_does_something[ACEStepDecode-latent_shift]",
    ),
    Mutation(
        "return wanted if guidance is None else replace(wanted, guidance=guidance)",
        "return wanted",
        "tests/nodes/test_every_input.py::test_it_does_something[ACEStepSampler-guidance]",
    ),
    Mutation(
        "settings = PlanSettings.from_widgets(widgets)",
        "settings = PlanSettings()",
        "tests/nodes/test_every_input.py::test_it_does_something[ACEStepPlan-caption]",
    ),
    Mutation(
        "posterior_seed if sample_posterior else None",
        "0 if sample_posterior else None",
        "tests/nodes/test_every_input.py::test_it_does_something[ACEStepEncodeAudio-posterior_seed]",
    ),
    Mutation(
        "clip_grad_norm_(self.parameters, self.settings.fine.clip)",
        "clip_grad_norm_(self.parameters, 1.0)",
        "tests/nodes/test_every_train_input.py::test_it_does_something[ACEStepTrainSettings-clip]",
    ),
    Mutation(
        "lyrics=dice[3] >= fine.lyric_drop,",
        "",
        "tests/nodes/test_every_train_input.py::test_it_does_something[ACEStepTrainSettings-lyric_drop]",
    ),
    Mutation(
        "if name in _METAS and options.skip_metas:",
        "if False:",
        "tests/nodes/test_every_train_input.py::test_it_does_something[ACEStepLabelDataset-skip_metas]",
    ),
    Mutation("places = cargo.found(songs)", "places = tuple(range(len(songs)))", "tests/nodes/test_cargo.py"),
    Mutation('"" if batches else plan', "plan", "tests/nodes/test_cargo.py::test_changed_audio_has_no_record"),
    Mutation(
        "() if batches else timing or ()",
        "timing or ()",
        "tests/nodes/test_save_nodes.py::test_songs_that_were_made_apart_are_taken_together",
    ),
    Mutation(
        "in _slots(lora, strength, loras, widgets) if enabled else ():",
        "in _slots(lora, strength, loras, widgets):",
        "tests/nodes/test_node_controls.py::test_a_lora_can_be_switched_off",
    ),
    Mutation(
        '{"alignment": alignment_weight, "lm": lm_weight}',
        '{"alignment": lm_weight, "lm": alignment_weight}',
        "tests/nodes/test_node_controls.py::test_each_score_has_its_own_weight",
    ),
    Mutation(" or done >= total:", ":", "tests/nodes/test_host_seam.py"),
    Mutation(
        "None if settings.guidance.scale is None else settings.guidance",
        "settings.guidance",
        "tests/nodes/test_node_controls.py::test_a_record_is_taken_apart",
    ),
    # starting from latents
    Mutation("else made.cpu() / (1 - float(times[-1]))", "else made.cpu()", "tests/pipeline/test_starting.py"),
    Mutation("int(steps / start.denoise)", "round(steps * start.denoise)", "tests/render/test_start.py"),
    Mutation("kept.expand_as(noise)", "noise", "tests/render/test_start.py"),
    Mutation("memory_required=working", "memory_required=0", "tests/nodes/test_comfy_memory.py"),
    # packed weights
    Mutation("if info.begin != _up(last, alignment):", "if False:", "tests/checkpoints/test_gguf_header.py"),
    Mutation("found > most or found * least >", "found * least >", "tests/checkpoints/test_gguf_header.py"),
    Mutation("(first >> 6) << 4", "(first >> 7) << 4", "tests/checkpoints/test_packing.py"),
    Mutation("part.copy_(weight)\n", "pass\n", "tests/models/test_packed.py"),
    Mutation('if role == "lm" or devices.is_host(device):', "if False:", "tests/models/test_packed.py"),
    Mutation("missing + working + entry.passing, keep", "missing + working, keep", "tests/models/test_packed.py"),
    # layers that stay at home
    Mutation("(room - working - RESERVE)", "(room - RESERVE)", "tests/models/test_placement.py"),
    Mutation("key=lambda layer: layer in of_decoder", "key=lambda layer: False", "tests/models/test_streaming.py"),
    Mutation("self.whole + self.coming - room", "self.whole - room", "tests/models/test_streaming.py"),
    Mutation("if not self.streams or self.computing:", "if not self.streams:", "tests/models/test_streaming.py"),
    Mutation(
        "max(self.least, self.streaming.fitting(", "max(0, self.streaming.fitting(", "tests/models/test_placement.py"
    ),
    # who leaves, what is read ahead, what comes home later
    Mutation("leaves=handle.role in roles", "leaves=False", "tests/pipeline/test_opening.py"),
    Mutation("(replaced or handle.leaves)", "replaced", "tests/models/test_placement.py"),
    Mutation("if not entry.pins and (replaced", "if (replaced", "tests/models/test_placement.py"),
    Mutation("lambda known: known[1] <= room", "lambda known: True", "tests/models/test_ahead.py"),
    Mutation("and not manager.holds(one)", "", "tests/models/test_ahead.py"),
    Mutation("homeward.arrive()", "pass", "tests/models/test_graphs.py"),
    # memory of stages
    Mutation("encoding_bytes(config, codes, codes, itemsize)", "0", "tests/models/test_memory.py"),
    Mutation("((4 + guided) * draws + 2)", "4", "tests/models/test_memory.py"),
    Mutation("(padding or 0) * (queries + 2 * keys)", "0", "tests/models/test_memory.py"),
    Mutation("if fade_in + fade_out > length:", "if False:", "tests/render/test_post.py"),
)
