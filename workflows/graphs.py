"""The workflows, in short: a node is `"Title": ("Class", {inputs})`, and `"Title.0"` as an input is its first output.

What is not given has the node's default. Nodes stand in an order in which everything is made before it is used.
"""

from __future__ import annotations

from parts import (
    LOAD,
    LYRICS,
    PLAN,
    RECORD,
    RECORDING,
    SONG,
    SONG_FIELDS,
    VOICE,
    Graph,
    cover_sweep,
    edited,
    rendered,
    retakes,
    text2music,
    two_models,
)

GRAPHS: dict[str, Graph] = {
    "make_a_song": Graph(
        "Make a song",
        "What the form makes: the language model plans, the model plays, the words are timed. The switches of the form "
        "bypass **Plan** and **Codes**, **Alignment**, or **Score** and **Best**. Open the form again from the menu: "
        "**ACE-Step, Make a song**.",
        {
            **LOAD,
            "Song": ("ACEStepSong", SONG),
            "LM Sampling": ("ACEStepLMSampling", {}),
            "Plan": ("ACEStepPlan", {"lm": "Load.2", "song": "Song.0", "sampling": "LM Sampling.0"}),
            "Codes": (
                "ACEStepPlanCodes",
                {"lm": "Load.2", "song": "Song.0", "plan": "Plan.1", "sampling": "LM Sampling.0", "batch_size": 2},
            ),
            "Score": ("ACEStepLMScore", {"lm": "Load.2", "song": "Song.0", "codes": "Codes.0", "plan": "Plan.1"}),
            "Task": ("ACEStepTextToMusic", {"song": "Plan.0", "codes": "Codes.0"}),
            "Conditioning": ("ACEStepConditioning", {"model": "Load.0", "song": "Plan.0", "task": "Task.0"}),
            "Schedule": ("ACEStepSchedule", {"model": "Load.0"}),
            "Guidance": ("ACEStepGuidance", {}),
            "Sampler": (
                "ACEStepSampler",
                {
                    "model": "Load.0",
                    "conditioning": "Conditioning.0",
                    "sigmas": "Schedule.0",
                    "guidance": "Guidance.0",
                    "batch_size": 2,
                },
            ),
            "Alignment": (
                "ACEStepLyricAlignment",
                {"model": "Load.0", "conditioning": "Conditioning.0", "latent": "Sampler.0"},
            ),
            "Best": (
                "ACEStepBestOf",
                {"latent": "Sampler.0", "timing": "Alignment.0", "lm_scores": "Score.0", "keep": 64},
            ),
            "Decode": ("ACEStepDecode", {"vae": "Load.1", "latent": "Best.0"}),
            "Save": ("ACEStepSaveSong", {"audio": "Decode.0", "timing": "Best.1", "plan": "Plan.1"}),
        },
        (*SONG_FIELDS, "Song.bpm", "Song.keyscale", "Codes.batch_size", "Sampler.batch_size", "Sampler.seed"),
        extra={"acestep": {"form": "make_a_song"}},
    ),
    "text2music": Graph(
        "Text to music",
        "Describe the song, write the lyrics, press Run. Without models in **models/acestep** a built-in toy model "
        "plays simple piano rolls, so that you can hear how everything works.",
        text2music(),
        (*SONG_FIELDS, "Sampler.seed"),
    ),
    "batch_of_four": Graph(
        "Batch of four",
        "Four takes of one song. The first has the seed, each next one takes one more; any of them can be made alone.",
        text2music(batch_size=4),
        (*SONG_FIELDS, "Sampler.seed", "Sampler.batch_size"),
    ),
    "long_song": Graph(
        "Long song",
        "Up to ten minutes. The sound is decoded in tiles, so memory does not grow with the length.",
        text2music({"duration": 300.0}),
        (*SONG_FIELDS, "Sampler.seed"),
    ),
    "turbo": Graph(
        "Turbo, step by step",
        "Every stage by itself: eight steps, shift 3, no guidance. Set steps or shift to 0 for the model's own.",
        {
            "Model": ("ACEStepModelLoader", {"variant": "turbo"}),
            "VAE": ("ACEStepVAELoader", {}),
            "Song": ("ACEStepSong", SONG),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            "Schedule": ("ACEStepSchedule", {"model": "Model.0", "steps": 8, "shift": 3.0}),
            **rendered(model="Model.0", vae="VAE.0", sigmas="Schedule.0"),
        },
        (*SONG_FIELDS, "Schedule.steps", "Schedule.shift", "Sampler.seed"),
    ),
    "base_guidance": Graph(
        "Base model with guidance",
        "Fifty steps with adaptive projected guidance: slower than turbo, closer to the text.",
        {
            "Model": ("ACEStepModelLoader", {"variant": "base"}),
            "VAE": ("ACEStepVAELoader", {}),
            "Song": ("ACEStepSong", SONG),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            "Schedule": ("ACEStepSchedule", {"model": "Model.0", "steps": 50, "shift": 3.0}),
            "Guidance": ("ACEStepGuidance", {"mode": "apg", "scale": 7.0}),
            **rendered(model="Model.0", vae="VAE.0", sigmas="Schedule.0", guidance="Guidance.0"),
        },
        (*SONG_FIELDS, "Schedule.steps", "Guidance.scale", "Sampler.seed"),
    ),
    "round_trip": Graph(
        "Encode and decode",
        "What the VAE makes of a recording: load, encode, decode, listen.",
        {
            "VAE": ("ACEStepVAELoader", {}),
            **RECORDING,
            "Encode": ("ACEStepEncodeAudio", {"vae": "VAE.0", "audio": "Recording.0"}),
            "Decode": ("ACEStepDecode", {"vae": "VAE.0", "latent": "Encode.0", "normalize": False}),
            "Preview": ("ACEStepPreviewSong", {"audio": "Decode.0"}),
        },
        ("Recording.audio",),
        ("Preview",),
    ),
    "think_text2music": Graph(
        "Think, then play",
        "The language model thinks about the song and writes audio codes that the music follows. Each song of the "
        "batch gets its own codes. Another seed of the sampler plays the same codes anew, without thinking again.",
        {
            **LOAD,
            "Song": ("ACEStepSong", SONG | {"duration": 0.0}),
            "LM Sampling": ("ACEStepLMSampling", {}),
            "Plan": ("ACEStepPlan", {"lm": "Load.2", "song": "Song.0", "sampling": "LM Sampling.0"}),
            "Plan text": ("ACEStepShowText", {"text": "Plan.1"}),
            "Codes": (
                "ACEStepPlanCodes",
                {"lm": "Load.2", "song": "Song.0", "plan": "Plan.1", "sampling": "LM Sampling.0"},
            ),
            "Task": ("ACEStepTextToMusic", {"song": "Plan.0", "codes": "Codes.0"}),
            **rendered(song="Plan.0", save={"plan": "Plan.1"}),
        },
        (
            "Song.caption",
            "Song.lyrics",
            "Song.language",
            "Song.instrumental",
            "Plan.seed",
            "Codes.seed",
            "Codes.batch_size",
            "Sampler.seed",
        ),
        ("Save", "Plan text"),
    ),
    "edit_plan": Graph(
        "Edit the plan by hand",
        "What is pinned in the form of **Plan** is given; the model decides what is free, and says what it "
        "chose beside it: keep that, or change it. A plan in which nothing is left to the model is used word for word.",
        {
            **LOAD,
            "Song": ("ACEStepSong", SONG | {"duration": 0.0}),
            "Plan": ("ACEStepPlan", {"lm": "Load.2", "song": "Song.0", "edited_plan": PLAN}),
            "Plan text": ("ACEStepShowText", {"text": "Plan.1"}),
            "Codes": ("ACEStepPlanCodes", {"lm": "Load.2", "song": "Song.0", "plan": "Plan.1"}),
            "Task": ("ACEStepTextToMusic", {"song": "Plan.0", "codes": "Codes.0"}),
            **rendered(song="Plan.0", save={"plan": "Plan.1"}),
        },
        ("Song.caption", "Song.lyrics", "Plan.edited_plan", "Codes.seed", "Sampler.seed"),
        ("Save", "Plan text"),
    ),
    "simple": Graph(
        "One sentence to a song",
        "Say what you want. The language model writes the caption and the lyrics and decides the rest.",
        {
            **LOAD,
            "Song": ("ACEStepCreateSong", {"lm": "Load.2"}),
            "Plan": ("ACEStepPlan", {"lm": "Load.2", "song": "Song.0", "caption": False}),
            "Codes": ("ACEStepPlanCodes", {"lm": "Load.2", "song": "Song.0", "plan": "Plan.1"}),
            "Task": ("ACEStepTextToMusic", {"song": "Plan.0", "codes": "Codes.0"}),
            **rendered(song="Plan.0"),
        },
        ("Song.query", "Song.instrumental", "Song.language", "Song.seed"),
    ),
    "format": Graph(
        "Notes to a song",
        "Rewrites a short caption and loose lyrics in more detail before the song is made.",
        {
            **LOAD,
            "Notes": ("ACEStepSong", SONG | {"caption": "synth pop, dreamy", "lyrics": "city lights\nhold the night"}),
            "Song": ("ACEStepFormatSong", {"lm": "Load.2", "song": "Notes.0"}),
            "Info": ("ACEStepSongInfo", {"song": "Song.0"}),
            "Lyrics": ("ACEStepShowText", {"text": "Info.1"}),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            **rendered(),
        },
        ("Notes.caption", "Notes.lyrics", "Notes.language", "Notes.duration", "Song.seed"),
        ("Save", "Lyrics"),
    ),
    "cover": Graph(
        "Cover",
        "Another rendition of a recording in the style of the caption. Lower the strength to depart from it.",
        edited("ACEStepCover", {"strength": 0.8}, "bossa nova, nylon guitar, soft brushes, intimate"),
        ("Recording.audio", "Song.caption", "Song.lyrics", "Task.strength", "Sampler.seed"),
    ),
    "cover_sweep": Graph(
        "Cover in three strengths",
        "The same cover three times with one seed: close to the recording, half way, and far from it.",
        cover_sweep((1.0, 0.6, 0.2)),
        ("Recording.audio", "Song.caption", "Song.lyrics", "Seed.value"),
        ("Save 100%", "Save 60%", "Save 20%"),
    ),
    "morph": Graph(
        "Morph",
        "Moves a recording from what the first description says to what the song says. What both say stays.",
        edited(
            "ACEStepMorph",
            {"source_caption": "synth pop, female vocals, drum machine", "source_lyrics": LYRICS, "start": 0.2},
            "synth pop, female vocals, live jazz drums",
            LYRICS,
            base=True,
        ),
        ("Recording.audio", "Task.source_caption", "Task.source_lyrics", "Song.caption", "Song.lyrics", "Sampler.seed"),
    ),
    "repaint": Graph(
        "Repaint a bar",
        "Makes the part from start to end anew; every sample outside stays. At 120 beats a minute a bar of four beats "
        "lasts two seconds, so 2 to 4 is the second bar.",
        edited("ACEStepRepaint", {"start": 2.0, "end": 4.0}, "bright piano solo, expressive"),
        ("Recording.audio", "Task.start", "Task.end", "Song.caption", "Song.lyrics", "Task.mode", "Sampler.seed"),
    ),
    "extend": Graph(
        "Extend both ways",
        "Leads into a recording and continues it. The recording itself stays. 0 seconds leaves a side as it is.",
        edited("ACEStepExtend", {"after": 20.0, "before": 10.0}, "a quiet intro builds up to a wide final chorus"),
        ("Recording.audio", "Task.before", "Task.after", "Song.caption", "Song.lyrics", "Sampler.seed"),
    ),
    "add_track": Graph(
        "Add a track",
        "A new track that plays along with the recording, alone and ready to be mixed with it. Needs a base model.",
        edited("ACEStepLego", {"track": "drums"}, "tight funk drums, crisp hi-hats", base=True),
        ("Recording.audio", "Task.track", "Song.caption", "Sampler.seed"),
    ),
    "extract_track": Graph(
        "Extract a track",
        "Takes one track out of a mix. Needs a base model.",
        edited("ACEStepExtract", {"track": "vocals"}, "", base=True),
        ("Recording.audio", "Task.track", "Sampler.seed"),
    ),
    "extract_stems": Graph(
        "Extract all 12 tracks",
        "Takes every track out of a mix, one after the other. The files carry the tracks' names. Needs a base model.",
        edited("ACEStepExtract", {"track": "all"}, "", base=True, save={"filename_prefix": "stems/%track%"}),
        ("Recording.audio", "Task.track", "Sampler.seed"),
    ),
    "complete": Graph(
        "Vocals to a full song",
        "Builds a full arrangement around a recording, such as a lone voice. Needs a base model.",
        edited("ACEStepComplete", {}, "indie rock band, driving drums, round bass", LYRICS, base=True, recording=VOICE),
        ("Recording.audio", "Task.tracks", "Song.caption", "Song.lyrics", "Sampler.seed"),
    ),
    "reference_audio": Graph(
        "Sound like a recording",
        "A new song with the timbre of a recording. Melody and words are not taken over. **Reference** takes up to "
        "four recordings.",
        {
            **LOAD,
            **VOICE,
            "Song": ("ACEStepSong", SONG),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            "Reference": ("ACEStepReferenceAudio", {"vae": "Load.1", "task": "Task.0", "audio": "Recording.0"}),
            **rendered("Reference.0"),
        },
        ("Recording.audio", *SONG_FIELDS, "Sampler.seed"),
    ),
    "understand": Graph(
        "Describe a recording",
        "The language model listens to a recording and writes down style, lyrics, tempo and key.",
        {
            **LOAD,
            **RECORDING,
            "To codes": ("ACEStepAudioToCodes", {"model": "Load.0", "vae": "Load.1", "audio": "Recording.0"}),
            "Song": ("ACEStepUnderstand", {"lm": "Load.2", "codes": "To codes.0"}),
            "Info": ("ACEStepSongInfo", {"song": "Song.0"}),
            "Caption": ("ACEStepShowText", {"text": "Info.0"}),
            "Lyrics": ("ACEStepShowText", {"text": "Info.1"}),
        },
        ("Recording.audio", "Song.seed"),
        ("Caption", "Lyrics"),
    ),
    "codes": Graph(
        "Codes by hand",
        "Writes the codes of a recording as text and renders them in another style. Disconnect and edit the text to "
        "compose with codes.",
        {
            **LOAD,
            **RECORDING,
            "To codes": ("ACEStepAudioToCodes", {"model": "Load.0", "vae": "Load.1", "audio": "Recording.0"}),
            "To text": ("ACEStepCodesToText", {"codes": "To codes.0"}),
            "Codes": ("ACEStepTextToCodes", {"text": "To text.0"}),
            "Song": ("ACEStepSong", SONG | {"caption": "chamber orchestra, pizzicato strings", "duration": 0.0}),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0", "codes": "Codes.0"}),
            **rendered(),
        },
        ("Recording.audio", "Song.caption", "Song.lyrics", "Sampler.seed"),
    ),
    "karaoke": Graph(
        "Karaoke",
        "Finds out when every word is sung, scores the take, and saves the timed lyrics beside the song: LRC with "
        "words, WebVTT, SRT and JSON.",
        {
            **LOAD,
            "Song": ("ACEStepSong", SONG),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            **{name: node for name, node in rendered().items() if name != "Save"},
            "Alignment": (
                "ACEStepLyricAlignment",
                {"model": "Load.0", "conditioning": "Conditioning.0", "latent": "Sampler.0"},
            ),
            "Lyrics": ("ACEStepTimedLyrics", {"timing": "Alignment.0"}),
            "Text": ("ACEStepShowText", {"text": "Lyrics.0"}),
            "Report": ("ACEStepShowText", {"text": "Alignment.1"}),
            "Save": ("ACEStepSaveSong", {"audio": "Decode.0", "timing": "Alignment.0", "subtitles": "all"}),
        },
        (*SONG_FIELDS, "Save.subtitles", "Sampler.seed"),
        ("Save", "Text", "Report"),
    ),
    "best_of": Graph(
        "Best of eight",
        "Plans codes for eight takes, scores how well the codes fit the song and how well the lyrics are sung, and "
        "keeps the best take.",
        {
            **LOAD,
            "Song": ("ACEStepSong", SONG),
            "Plan": ("ACEStepPlan", {"lm": "Load.2", "song": "Song.0"}),
            "Codes": ("ACEStepPlanCodes", {"lm": "Load.2", "song": "Song.0", "plan": "Plan.1", "batch_size": 8}),
            "Score": ("ACEStepLMScore", {"lm": "Load.2", "song": "Song.0", "codes": "Codes.0", "plan": "Plan.1"}),
            "Task": ("ACEStepTextToMusic", {"song": "Plan.0", "codes": "Codes.0"}),
            "Conditioning": ("ACEStepConditioning", {"model": "Load.0", "song": "Plan.0", "task": "Task.0"}),
            "Sampler": ("ACEStepSampler", {"model": "Load.0", "conditioning": "Conditioning.0"}),
            "Alignment": (
                "ACEStepLyricAlignment",
                {"model": "Load.0", "conditioning": "Conditioning.0", "latent": "Sampler.0"},
            ),
            "Best": (
                "ACEStepBestOf",
                {"latent": "Sampler.0", "timing": "Alignment.0", "lm_scores": "Score.0"},
            ),
            "Ranking": ("ACEStepShowText", {"text": "Best.2"}),
            "Decode": ("ACEStepDecode", {"vae": "Load.1", "latent": "Best.0"}),
            "Save": ("ACEStepSaveSong", {"audio": "Decode.0", "timing": "Best.1", "plan": "Plan.1"}),
        },
        (*SONG_FIELDS, "Codes.batch_size", "Best.keep", "Codes.seed"),
        ("Save", "Ranking"),
    ),
    "score_recording": Graph(
        "Score a recording",
        "How well an existing recording fits a caption, and how well it sings its lyrics. Say what it should be.",
        {
            **LOAD,
            **RECORDING,
            "Song": ("ACEStepSong", SONG | {"duration": 0.0}),
            "To codes": ("ACEStepAudioToCodes", {"model": "Load.0", "vae": "Load.1", "audio": "Recording.0"}),
            "Score": ("ACEStepLMScore", {"lm": "Load.2", "song": "Song.0", "codes": "To codes.0"}),
            "Fit": ("ACEStepShowText", {"text": "Score.1"}),
            "Task": ("ACEStepCover", {"vae": "Load.1", "audio": "Recording.0"}),
            "Conditioning": ("ACEStepConditioning", {"model": "Load.0", "song": "Song.0", "task": "Task.0"}),
            "Encode": ("ACEStepEncodeAudio", {"vae": "Load.1", "audio": "Recording.0"}),
            "Alignment": (
                "ACEStepLyricAlignment",
                {"model": "Load.0", "conditioning": "Conditioning.0", "latent": "Encode.0"},
            ),
            "Singing": ("ACEStepShowText", {"text": "Alignment.1"}),
            "Preview": (
                "ACEStepPreviewSong",
                {"audio": "Recording.0", "timing": "Alignment.0", "lm_scores": "Score.0"},
            ),
        },
        ("Recording.audio", "Song.caption", "Song.lyrics", "Song.language"),
        ("Preview", "Fit", "Singing"),
    ),
    "regenerate": Graph(
        "Make a saved song again",
        "Name a song that Save Song wrote, such as **acestep/song_00001.json** (or its .flac), or paste the text of "
        "its record. With the models it was made with, the very same song comes out. Then change what you like: "
        "another seed for another take, another caption for another style. **acestep run song_00001.json** does it "
        "without a canvas.",
        {
            **LOAD,
            "Record": ("ACEStepLoadRecord", {"record": RECORD, "vae": "Load.1"}),
            **rendered(
                task="Record.6",
                song="Record.0",
                save={"plan": "Record.1"},
                told={"album_caption": "Record.8"},
                decode={"settings": "Record.7"},
                seed="Record.3",
                settings="Record.7",
            ),
        },
        ("Record.record",),
    ),
    "retakes": Graph(
        "Retakes",
        "A song and two takes that depart from it: a close relative and a distant one. The share says how far the "
        "noise turns towards that of the retake seed.",
        retakes((0.2, 0.5)),
        (
            *SONG_FIELDS,
            "Seed.value",
            "Retake seed.value",
            "Sampler retake 20%.variation",
            "Sampler retake 50%.variation",
        ),
        ("Save original", "Save retake 20%", "Save retake 50%"),
    ),
    "compare": Graph(
        "A and B",
        "The same song with the same seed from two models, in one player, to hear which is better. Any two things can "
        "be compared this way: two samplers, two captions, with and without a LoRA.",
        two_models(("turbo", "base")),
        (*SONG_FIELDS, "Seed.value", "Model A.variant", "Model B.variant"),
        ("Preview", "Save A", "Save B"),
    ),
    "two_loras": Graph(
        "Two LoRAs mixed",
        "Two trained styles at once, each with its own strength. Put LoRA files into **models/loras** and choose them; "
        "switch one off to hear what it does.",
        {
            **LOAD,
            "LoRA 1": ("ACEStepLoRALoader", {"model": "Load.0", "strength": 0.7}),
            "LoRA 2": ("ACEStepLoRALoader", {"model": "LoRA 1.0", "strength": 0.5}),
            "Song": ("ACEStepSong", SONG),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            **rendered(model="LoRA 2.0"),
        },
        (
            "LoRA 1.lora",
            "LoRA 1.strength",
            "LoRA 1.enabled",
            "LoRA 2.lora",
            "LoRA 2.strength",
            "LoRA 2.enabled",
            *SONG_FIELDS,
            "Sampler.seed",
        ),
    ),
    "lora": Graph(
        "With a LoRA",
        "Adds a trained style or voice to the model. Put LoRA files into **models/loras**.",
        {
            **LOAD,
            "LM": ("ACEStepLMLoader", {}),
            "LoRA": ("ACEStepLoRALoader", {"model": "Load.0"}),
            "Song": ("ACEStepSong", SONG | {"duration": 0.0}),
            "Plan": ("ACEStepPlan", {"lm": "LM.0", "song": "Song.0"}),
            "Task": ("ACEStepTextToMusic", {"song": "Plan.0"}),
            **rendered(song="Plan.0", model="LoRA.0"),
        },
        ("LoRA.lora", "LoRA.strength", "Song.caption", "Song.lyrics", "Sampler.seed"),
    ),
    "dataset": Graph(
        "Dataset from a folder",
        "Put recordings into **input/my_songs**, with `song.caption.txt`, `song.lyrics.txt` or a CSV beside them. "
        "Press Run, read the report, correct what is wrong, and run again: only what changed is made anew.",
        {
            **LOAD,
            "Scan": ("ACEStepScanDataset", {}),
            "Sample": ("ACEStepEditSample", {"dataset": "Scan.0"}),
            "Edit": ("ACEStepEditDataset", {"dataset": "Sample.0"}),
            "Save": ("ACEStepSaveDataset", {"dataset": "Edit.0"}),
            "Preprocess": ("ACEStepPreprocess", {"dataset": "Edit.0", "model": "Load.0", "vae": "Load.1"}),
        },
        ("Scan.folder", "Scan.custom_tag", "Scan.all_instrumental"),
        ("Edit", "Preprocess"),
    ),
    "label": Graph(
        "Label and correct",
        "The language model listens to every recording of **input/my_songs** and writes what it hears where nothing is "
        "written yet. It is saved after each one, so you can stop at any time and run again. Then correct it in the "
        "table.",
        {
            **LOAD,
            "LM": ("ACEStepLMLoader", {}),
            "Scan": ("ACEStepScanDataset", {}),
            "Label": (
                "ACEStepLabelDataset",
                {
                    "dataset": "Scan.0",
                    "model": "Load.0",
                    "vae": "Load.1",
                    "lm": "LM.0",
                    "save_as": "datasets/labels.json",
                },
            ),
            "Edit": ("ACEStepEditDataset", {"dataset": "Label.0"}),
            "Save": ("ACEStepSaveDataset", {"dataset": "Edit.0"}),
        },
        ("Scan.folder", "Label.mode", "Label.format_lyrics", "Label.seed"),
        ("Edit", "Save"),
    ),
    "open_dataset": Graph(
        "Go on with a dataset",
        "Opens a dataset file that was saved here or by upstream's program, below **output** or **input**, and makes "
        "what training reads.",
        {
            **LOAD,
            "Open": ("ACEStepLoadDataset", {}),
            "Edit": ("ACEStepEditDataset", {"dataset": "Open.0"}),
            "Preprocess": ("ACEStepPreprocess", {"dataset": "Edit.0", "model": "Load.0", "vae": "Load.1"}),
        },
        ("Open.file", "Preprocess.max_seconds", "Preprocess.length"),
        ("Edit", "Preprocess"),
    ),
    "train_lora": Graph(
        "Train a LoRA",
        "Learns a style from the trainset that **Dataset from a folder** has made, and writes it as a file for any "
        "workflow. Cancel whenever it sounds right or you have to go: run it again, and it goes on.",
        {
            "Load": ("ACEStepModelLoader", {"variant": "auto"}),
            "Trainset": ("ACEStepLoadTrainset", {"folder": "trainsets/my_dataset"}),
            "Settings": ("ACEStepTrainSettings", {}),
            "Train": ("ACEStepTrainLoRA", {"trainset": "Trainset.0", "model": "Load.0", "settings": "Settings.0"}),
            "Export": ("ACEStepExportLoRA", {"lora": "Train.1"}),
        },
        ("Load.model", "Trainset.folder", "Train.name", "Train.epochs", "Train.learning_rate", "Settings.rank"),
        ("Train", "Export"),
    ),
    "train_and_hear": Graph(
        "Train and hear",
        "Learns a style, makes a test song on the way, and then sings a song with what it has learned.",
        {
            **LOAD,
            "Trainset": ("ACEStepLoadTrainset", {"folder": "trainsets/my_dataset"}),
            "Test": ("ACEStepSong", SONG | {"duration": 10.0}),
            "Train": (
                "ACEStepTrainLoRA",
                {"trainset": "Trainset.0", "model": "Load.0", "test_song": "Test.0", "test_every": 100},
            ),
            "Song": ("ACEStepSong", SONG),
            "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
            **rendered(song="Song.0", model="Train.0"),
        },
        ("Trainset.folder", "Train.name", "Train.epochs", "Song.caption", "Song.lyrics", "Sampler.seed"),
        ("Train", "Save"),
    ),
}
