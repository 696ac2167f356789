// The widgets' own words in three languages. Others read English.

import { app } from "../../scripts/app.js";

const WORDS = {
  empty: [
    "Press Run. Your song appears here.",
    "실행을 누르면 여기에 곡이 나타납니다.",
    "点击运行，歌曲会显示在这里。",
  ],
  waveLater: ["Waveform is being made", "파형을 만드는 중입니다", "正在生成波形"],
  untitled: ["Song", "곡", "歌曲"],
  testModel: [
    "This song was made by the test model: it is noise.",
    "테스트 모델이 만든 곡이라 노이즈만 들립니다.",
    "这首歌由测试模型生成，只是噪声。",
  ],
  testHow: [
    "Put real models into models/acestep, or run “acestep models download”.",
    "models/acestep에 실제 모델을 넣거나 'acestep models download'를 실행하세요.",
    "请把真正的模型放进 models/acestep，或运行“acestep models download”。",
  ],
  previous: ["Previous take", "이전 테이크", "上一个版本"],
  next: ["Next take", "다음 테이크", "下一个版本"],
  take: ["Take {0}", "테이크 {0}", "版本 {0}"],
  best: ["best", "최고", "最佳"],
  takes: ["Takes", "테이크", "版本"],
  more: ["More", "더 보기", "更多"],
  play: ["Play", "재생", "播放"],
  pause: ["Pause", "일시 정지", "暂停"],
  loop: ["Loop", "반복", "循环"],
  volume: ["Volume", "음량", "音量"],
  mute: ["Mute", "음소거", "静音"],
  compare: [
    "Compare two takes at equal loudness: the first press marks A, the next ones swap",
    "두 테이크를 같은 음량으로 비교합니다. 처음 누르면 A로 정하고, 다시 누르면 바꿉니다",
    "以相同响度比较两个版本：第一次点击标记 A，之后切换",
  ],
  equal: ["equal loudness", "같은 음량", "等响度"],
  position: ["Position", "위치", "位置"],
  lyrics: ["Lyrics", "가사", "歌词"],
  match: ["Match", "일치", "契合"],
  lyricsTip: [
    "How clearly the words are sung, 0 to 1",
    "가사를 얼마나 또렷하게 부르는지, 0~1",
    "歌词唱得有多清楚，0 到 1",
  ],
  matchTip: [
    "How well the song fits its description, in the language model's opinion, 0 to 1",
    "언어 모델이 보기에 곡이 설명과 얼마나 맞는지, 0~1",
    "语言模型认为歌曲与描述的契合度，0 到 1",
  ],
  stars: ["{0} of 5 stars", "별 5개 중 {0}개", "{0} 星（满分 5 星）"],
  noTimes: ["No lyric times yet", "가사 싱크가 아직 없습니다", "还没有歌词时间"],
  toLine: ["Play from here: {0}", "여기부터 재생: {0}", "从这里播放：{0}"],
  seed: ["Seed {0}", "시드 {0}", "种子 {0}"],
  copySeed: ["Copy the seed", "시드 복사", "复制种子"],
  copied: ["Copied", "복사됨", "已复制"],
  instrumental: ["Instrumental", "연주곡", "纯音乐"],
  cover: ["Cover", "커버", "翻唱"],
  repaint: ["Repaint", "다시 그리기", "重绘"],
  extend: ["Extend", "늘이기", "延长"],
  layer: ["Add layer", "트랙 추가", "加轨"],
  reference: ["Reference", "참고 음원", "参考"],
  score: ["Score", "점수", "评分"],
  lrc: ["LRC", "LRC", "LRC"],
  save: ["Save", "저장", "保存"],
  saved: ["Saved", "저장됨", "已保存"],
  reuse: ["Reuse", "재사용", "复用"],
  reused: ["Done", "완료", "完成"],
  download: ["Download", "내려받기", "下载"],
  isSaved: ["It is in the output folder already", "이미 출력 폴더에 있습니다", "已在输出文件夹中"],
  needsLyrics: ["Needs lyrics", "가사가 있어야 합니다", "需要歌词"],
  zip: ["All as ZIP", "모두 ZIP으로", "全部打包为 ZIP"],
  openGraph: ["Open its graph", "워크플로 열기", "打开它的工作流"],
  keys: ["Keys", "단축키", "快捷键"],
  keyList: [
    "Space play · ← → 5 s, Shift 1 s · ↑ ↓ line · Home End · [ ] take · 1–8 take · L loop · A mark, X swap · M mute · + − volume · F favourite · S save",
    "Space 재생 · ← → 5초, Shift 1초 · ↑ ↓ 줄 · Home End · [ ] 테이크 · 1–8 테이크 · L 반복 · A 표시, X 교체 · M 음소거 · + − 음량 · F 즐겨찾기 · S 저장",
    "空格 播放 · ← → 5 秒，Shift 1 秒 · ↑ ↓ 行 · Home End · [ ] 版本 · 1–8 版本 · L 循环 · A 标记，X 切换 · M 静音 · + − 音量 · F 收藏 · S 保存",
  ],
  expand: ["Open large", "크게 보기", "放大"],
  close: ["Close", "닫기", "关闭"],
  plan: ["Plan", "계획", "规划"],
  codes: ["Audio codes", "오디오 코드", "音频代码"],
  codesCount: ["{0} at 5 per second", "초당 5개, 모두 {0}개", "每秒 5 个，共 {0} 个"],
  copyCodes: ["Copy", "복사", "复制"],
  times: ["Times", "시간", "用时"],
  model: ["Model", "모델", "模型"],
  stage_codes: ["Codes", "오디오 코드", "音频代码"],
  stage_plan: ["Plan", "계획", "规划"],
  stage_lm: ["Language model", "언어 모델", "语言模型"],
  stage_encode: ["Encode", "인코드", "编码"],
  stage_condition: ["Condition", "조건", "条件"],
  stage_sample: ["Render", "생성", "生成"],
  stage_decode: ["Decode", "디코드", "解码"],
  bpm: ["Tempo", "템포", "速度"],
  caption: ["Caption", "캡션", "描述"],
  duration: ["Length", "길이", "时长"],
  keyscale: ["Key", "조성", "调性"],
  language: ["Language", "언어", "语言"],
  timesignature: ["Meter", "박자", "拍号"],
  steps: ["Steps", "스텝 수", "步数"],
  lm: ["Language model", "언어 모델", "语言模型"],
  lora: ["LoRA", "LoRA", "LoRA"],
  running: ["Making the next songs", "다음 곡을 만드는 중", "正在制作新歌曲"],
  step: ["Step {0} of {1}", "{1}스텝 중 {0}", "第 {0} 步，共 {1} 步"],
  cancel: ["Cancel", "취소", "取消"],
  judging: ["Listening…", "듣는 중…", "正在聆听…"],
  failed: ["That did not work: {0}", "되지 않았습니다: {0}", "未成功：{0}"],
  ready: ["{0} songs are ready", "{0}곡이 준비되었습니다", "{0} 首歌曲已就绪"],
  runFailed: [
    "The run stopped with an error. The last good songs stay here.",
    "오류로 실행이 멈췄습니다. 마지막으로 만든 곡은 그대로 남아 있습니다.",
    "运行因错误停止。上一批歌曲仍保留在这里。",
  ],
  gone: ["The file was moved or deleted", "파일이 옮겨졌거나 삭제되었습니다", "文件已被移动或删除"],
  favourite: ["Favourite", "즐겨찾기", "收藏"],
  favourites: ["Favourites", "즐겨찾기", "收藏"],
  newTakes: ["New takes ready", "새 테이크 준비됨", "新版本已就绪"],
  songbook: ["Songbook", "노래집", "歌曲集"],
  autogen: ["AutoGen", "자동 생성", "自动生成"],
  autogenTip: [
    "Keeps one batch ahead of the one that you hear, with new seeds; stops when you stop",
    "듣고 있는 배치보다 한 배치 앞서 새 시드로 만듭니다. 듣기를 멈추면 멈춥니다",
    "用新种子比正在听的批次提前生成一批；停止收听即停止",
  ],
  searchFor: ["Words, key, bpm, model", "단어, 조성, bpm, 모델", "词语、调性、bpm、模型"],
  filter: ["Filter", "필터", "筛选"],
  any: ["Any", "전체", "不限"],
  slowest: ["from", "최저", "最低"],
  fastest: ["to", "최고", "最高"],
  onlyFavourites: ["Only favourites", "즐겨찾기만", "仅收藏"],
  clearOne: ["Remove the filter {0}", "{0} 필터 지우기", "移除筛选 {0}"],
  clearFilters: ["Clear filters", "필터 지우기", "清除筛选"],
  olderBatch: ["Previous", "이전", "上一批"],
  newerBatch: ["Next", "다음", "下一批"],
  olderTip: ["The batch before", "이전 배치로", "到更早的批次"],
  newerTip: ["The batch after", "다음 배치로", "到更新的批次"],
  noOlder: ["This is the oldest batch", "가장 오래된 배치입니다", "这是最早的批次"],
  newerMakes: ["Make the next batch", "다음 배치 만들기", "生成下一批"],
  batch: ["Batch {0}", "배치 {0}", "批次 {0}"],
  batchOf: ["Batch {0} of {1}", "배치 {0} / {1}", "批次 {0} / {1}"],
  songs: ["{0} songs", "{0}곡", "{0} 首"],
  songsOne: ["{0} song", "{0}곡", "{0} 首"],
  batches: ["{0} batches", "배치 {0}개", "{0} 批"],
  batchesOne: ["{0} batch", "배치 {0}개", "{0} 批"],
  songsOf: ["{0} of {1} songs", "{1}곡 중 {0}곡", "{0} / {1} 首"],
  details: ["Generation details", "생성 정보", "生成详情"],
  noRecord: [
    "Nothing is known of how this was made.",
    "어떻게 만들었는지 알 수 없습니다.",
    "没有它的生成记录。",
  ],
  damaged: ["The record is damaged", "기록이 손상되었습니다", "记录已损坏"],
  seeds: ["Seeds", "시드", "种子"],
  batchMaking: ["Next batch: making {0} songs", "다음 배치: {0}곡 만드는 중", "下一批：正在生成 {0} 首"],
  batchMakingOne: ["Next batch: making {0} song", "다음 배치: {0}곡 만드는 중", "下一批：正在生成 {0} 首"],
  batchWaiting: ["Next batch: waiting", "다음 배치: 대기 중", "下一批：等待中"],
  batchReady: ["Next batch: ready", "다음 배치: 준비됨", "下一批：已就绪"],
  batchPaused: ["Paused, nobody is listening", "듣는 사람이 없어 멈춤", "已暂停：没有人在听"],
  needsGraph: [
    "Open a workflow that makes songs, then try again.",
    "노래를 만드는 워크플로를 연 다음 다시 시도하세요.",
    "请先打开一个生成歌曲的工作流，然后重试。",
  ],
  timeLeft: ["{0} left", "{0} 남음", "剩余 {0}"],
  songBefore: ["Previous song", "이전 곡", "上一首"],
  songAfter: ["Next song", "다음 곡", "下一首"],
  selected: ["{0} selected", "{0}곡 선택", "已选 {0} 首"],
  unselect: ["Clear the selection", "선택 해제", "取消选择"],
  delete: ["Delete", "삭제", "删除"],
  deleteMany: [
    "Move {0} songs to the trash? They can be brought back.",
    "{0}곡을 휴지통으로 옮길까요? 되돌릴 수 있습니다.",
    "将 {0} 首歌移到回收站？之后可以恢复。",
  ],
  trashed: ["{0} songs moved to the trash", "{0}곡을 휴지통으로 옮겼습니다", "{0} 首歌已移到回收站"],
  trashedOne: ["{0} song moved to the trash", "{0}곡을 휴지통으로 옮겼습니다", "{0} 首歌已移到回收站"],
  undo: ["Undo", "되돌리기", "撤销"],
  reload: ["Look again", "다시 읽기", "重新读取"],
  emptyTrash: ["Empty the trash ({0}, {1})", "휴지통 비우기({0}곡, {1})", "清空回收站（{0} 首，{1}）"],
  emptySure: ["They are then gone for good.", "영구히 삭제됩니다.", "将被永久删除。"],
  noSongs: ["No songs yet", "아직 노래가 없습니다", "还没有歌曲"],
  noSongsHow: [
    "Everything you make is kept here, with its seed, plan and lyrics.",
    "만든 곡은 모두 시드, 계획, 가사와 함께 여기에 남습니다.",
    "你生成的一切都保存在这里，连同种子、规划和歌词。",
  ],
  makeOne: ["Make a song", "노래 만들기", "写一首歌"],
  noMatch: ["No song with all of that", "조건에 맞는 곡이 없습니다", "没有符合条件的歌曲"],
  songsFailed: [
    "The songs cannot be listed: {0}",
    "노래 목록을 읽을 수 없습니다: {0}",
    "无法列出歌曲：{0}",
  ],
  tryAgain: ["Try again", "다시 시도", "重试"],
  bookKeys: [
    "↑ ↓ row · ← → fold · Enter play · X select · Ctrl+A all · F favourite · Delete · Ctrl+Z undo · / search · Alt+← → batch",
    "↑ ↓ 이동 · ← → 접기 · Enter 재생 · X 선택 · Ctrl+A 모두 · F 즐겨찾기 · Delete 삭제 · Ctrl+Z 되돌리기 · / 검색 · Alt+← → 배치",
    "↑ ↓ 移动 · ← → 折叠 · Enter 播放 · X 选择 · Ctrl+A 全选 · F 收藏 · Delete 删除 · Ctrl+Z 撤销 · / 搜索 · Alt+← → 批次",
  ],
  minutes: ["{0} of {1}", "{1} 중 {0}", "{0}，共 {1}"],
  copyText: ["Copy the text", "텍스트 복사", "复制文本"],
  nothing: ["The text is empty.", "텍스트가 비어 있습니다.", "文本为空。"],
  noText: [
    "Press Run. The text appears here.",
    "실행을 누르면 여기에 텍스트가 나타납니다.",
    "点击运行，文本会显示在这里。",
  ],
  redoLine: ["Repaint this line: {0}", "이 줄 다시 그리기: {0}", "重绘这一行：{0}"],
  redoTitle: ["Repaint this line", "이 줄 다시 그리기", "重绘这一行"],
  redoWords: ["New words of the line", "이 줄의 새 가사", "这一行的新歌词"],
  nowSung: ["Now sung, {0}–{1}", "지금 부르는 구간 {0}~{1}", "现在演唱于 {0}–{1}"],
  syllables: ["{0} syllables before, {1} now", "전에는 {0}음절, 지금은 {1}음절", "原 {0} 个音节，现 {1} 个"],
  fitsTime: ["fits the time", "길이가 맞습니다", "长度合适"],
  rushed: ["{0} more than before: may sound rushed", "{0}음절이 늘어 급하게 들릴 수 있습니다", "多 {0} 个音节，可能显得急促"],
  drawnOut: ["{0} fewer than before: may sound drawn out", "{0}음절이 줄어 늘어지게 들릴 수 있습니다", "少 {0} 个音节，可能显得拖沓"],
  redoFor: ["Repaint {0} s", "{0}초 다시 그리기", "重绘 {0} 秒"],
  hearFirst: ["Hear first", "먼저 듣기", "先听"],
  region: ["Region", "구간", "区域"],
  regionStart: ["Start of the region", "구간 시작", "区域起点"],
  regionEnd: ["End of the region", "구간 끝", "区域终点"],
  playRegion: ["Play the region", "구간 재생", "播放区域"],
  noSource: ["Connect or drop a recording", "녹음을 연결하거나 끌어다 놓으세요", "请连接或拖入录音"],
  tempoUnknown: ["Tempo unknown", "템포를 모릅니다", "速度未知"],
  snap: ["Snap", "맞춤", "吸附"],
  snap_off: ["Off", "끔", "关"],
  snap_beat: ["Beat", "박", "拍"],
  snap_bar: ["Bar", "마디", "小节"],
  snap_line: ["Line", "가사 줄", "歌词行"],
  zoomIn: ["Zoom in", "확대", "放大"],
  zoomOut: ["Zoom out", "축소", "缩小"],
  fit: ["Fit", "전체", "全部"],
  to: ["to", "~", "至"],
  timeTip: [
    "Seconds, minutes or a bar: 36.5, 0:36.5, bar 15",
    "초, 분 또는 마디: 36.5, 0:36.5, bar 15",
    "秒、分或小节：36.5、0:36.5、bar 15",
  ],
  barOne: ["Bar {0}", "{0}마디", "第 {0} 小节"],
  barsFrom: ["Bars {0}–{1}", "{0}~{1}마디", "第 {0}–{1} 小节"],
  barPlaces: ["{0} → {1}", "{0} → {1}", "{0} → {1}"],
  barAt: ["bar {0}", "{0}마디", "第 {0} 小节"],
  barsCount: ["{0} bars", "{0}마디", "{0} 小节"],
  barOnly: ["1 bar", "1마디", "1 小节"],
  lineOne: ["1 lyric line", "가사 1줄", "1 行歌词"],
  linesCount: ["{0} lyric lines", "가사 {0}줄", "{0} 行歌词"],
  extension: ["Extension", "늘이기", "延长"],
  moreBars: ["+ {0} bars", "+ {0}마디", "+ {0} 小节"],
  moreSeconds: ["+ {0} s", "+ {0}초", "+ {0} 秒"],
  newLength: ["New length {0}", "새 길이 {0}", "新时长 {0}"],
  keptExactly: ["Kept bit for bit", "비트 그대로 유지", "逐位保留"],
  keptClosely: ["Kept closely", "거의 그대로 유지", "大致保留"],
  blended: ["Blended", "이어 붙임", "过渡"],
  madeNew: ["Made new", "새로 만듦", "重新制作"],
  insideEdges: ["{0} s inside each edge", "양 끝 안쪽 {0}초", "每个边界内侧 {0} 秒"],
  outsideEdges: ["{0} s outside each edge", "양 끝 바깥쪽 {0}초", "每个边界外侧 {0} 秒"],
  nothingBlended: ["nothing", "없음", "无"],
};
const LANGUAGES = ["en", "ko", "zh"];

/** The language of the canvas, as a code that `Intl` and `lang` understand. */
export function language() {
  return app.extensionManager?.setting?.get("Comfy.Locale") || "en";
}

/** A word or sentence; what stands in `{0}`, `{1}` is given. */
export function say(key, ...given) {
  const entry = WORDS[key];
  const text = entry[Math.max(0, LANGUAGES.indexOf(language().slice(0, 2)))];
  return text.replace(/\{(\d)\}/g, (_, place) => given[place]);
}

/** The same for a count, which stands in `{0}`: English has another word for one. */
export function sayCount(key, count) {
  return say(count === 1 ? `${key}One` : key, number(count));
}

export function known(key) {
  return key in WORDS;
}

/** A number as this language writes it. */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(language(), { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(
    value,
  );
}

/** The name of a language. */
export function languageName(code) {
  try {
    return new Intl.DisplayNames([language()], { type: "language" }).of(code);
  } catch {
    return code;
  }
}
