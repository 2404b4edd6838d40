package config

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// reader reads one JSON document and knows where it is, so that each error can name its field. A null member is as good
// as an absent one, as it is for the runtimes written in Go.
type reader struct {
	dec    *jsontext.Decoder
	text   []byte
	prefix string   // of every pointer: "" or "options#"
	list   []string // of scratch, used again
}

func newReader(text []byte, prefix string) *reader {
	// A copy that nobody writes to: the strings of the config are parts of it. The decoder reads a bytes.Buffer in place.
	if len(text) <= MaxDocument { // a larger one is refused
		text = bytes.Clone(text)
	}
	return &reader{dec: jsontext.NewDecoder(bytes.NewBuffer(text[:len(text):len(text)])), text: text, prefix: prefix}
}

// document reads the one object that the text is.
func (r *reader) document(member func(name []byte) error) error {
	switch {
	case len(r.text) > MaxDocument:
		return errs.Bad(r.prefix, "the document is larger than "+strconv.Itoa(MaxDocument)+" bytes")
	case len(bytes.TrimLeft(r.text, " \t\r\n")) == 0:
		return errs.Bad(r.prefix, "the document is empty")
	case r.null():
		return errs.Bad(r.prefix, "must be an object, not null")
	}
	if err := r.object(member); err != nil {
		return err
	}
	end := r.dec.InputOffset()
	if _, err := r.dec.ReadToken(); err != io.EOF {
		rest := r.text[end:]
		end += int64(len(rest) - len(bytes.TrimLeft(rest, " \t\r\n")))
		return r.parse("", "data after the end of the document"+r.position(end))
	}
	return nil
}

// null tells whether null is next.
func (r *reader) null() bool {
	return r.dec.PeekKind() == jsontext.KindNull
}

// object calls member with each name, unescaped; member reads or skips the value. The name is valid until then.
func (r *reader) object(member func(name []byte) error) error {
	t, err := r.dec.ReadToken()
	if err != nil {
		return r.syntax(err)
	}
	switch t.Kind() {
	case jsontext.KindNull:
		return nil
	case jsontext.KindBeginObject:
	default:
		return r.wrong("an object", t.Kind())
	}
	for r.dec.PeekKind() != jsontext.KindEndObject {
		v, err := r.dec.ReadValue()
		if err != nil {
			return r.syntax(err)
		}
		name := []byte(v[1 : len(v)-1])
		if bytes.IndexByte(name, '\\') >= 0 {
			if name, err = jsontext.AppendUnquote(nil, v); err != nil {
				return r.syntax(err)
			}
		}
		if err := member(name); err != nil {
			return err
		}
	}
	_, err = r.dec.ReadToken()
	return r.syntax(err)
}

// array calls element before each element, which it reads.
func (r *reader) array(limit int, element func() error) error {
	t, err := r.dec.ReadToken()
	if err != nil {
		return r.syntax(err)
	}
	switch t.Kind() {
	case jsontext.KindNull:
		return nil
	case jsontext.KindBeginArray:
	default:
		return r.wrong("an array", t.Kind())
	}
	for n := 0; r.dec.PeekKind() != jsontext.KindEndArray; n++ {
		if n == limit {
			return errs.Bad(r.prefix+string(r.dec.StackPointer().Parent()), tooMany(limit))
		}
		if err := element(); err != nil {
			return err
		}
	}
	_, err = r.dec.ReadToken()
	return r.syntax(err)
}

// str reads a string member; null leaves dst alone.
func (r *reader) str(dst *string) error {
	return r.readString(dst, true)
}

// element reads a string that may not be null: one of a list, or of an object of strings.
func (r *reader) element(dst *string) error {
	return r.readString(dst, false)
}

func (r *reader) readString(dst *string, null bool) error {
	v, err := r.dec.ReadValue()
	if err != nil {
		return r.syntax(err)
	}
	switch k := v.Kind(); {
	case k == jsontext.KindString:
	case k == jsontext.KindNull && null:
		return nil
	default:
		return r.wrong("a string", k)
	}
	end := int(r.dec.InputOffset())
	body := r.text[end-len(v)+1 : end-1]
	escaped := bytes.IndexByte(body, '\\') >= 0
	if escaped {
		if body, err = jsontext.AppendUnquote(nil, v); err != nil {
			return r.syntax(err)
		}
	}
	// Of what is written as it is, JSON has no NUL.
	if len(body) > MaxString || escaped {
		if problem := badText(body); problem != "" {
			return r.bad("", problem)
		}
	}
	*dst = unsafe.String(unsafe.SliceData(body), len(body))
	return nil
}

// badText says what is wrong with any string that is used. The kernel and C take a NUL for the end: what was checked would
// not be what is done.
func badText(s []byte) string {
	switch {
	case len(s) > MaxString:
		return "is longer than " + strconv.Itoa(MaxString) + " bytes"
	case bytes.IndexByte(s, 0) >= 0:
		return "has a NUL byte"
	}
	return ""
}

// strs reads a list of strings.
func (r *reader) strs(dst *[]string) error {
	list, err := r.scratch()
	if *dst = nil; len(list) > 0 {
		*dst = slices.Clone(list)
	}
	return err
}

// scratch reads a list of strings that is not kept: the next list takes its place.
func (r *reader) scratch() ([]string, error) {
	r.list = r.list[:0]
	err := r.array(MaxEntries, func() error {
		var s string
		err := r.element(&s)
		r.list = append(r.list, s)
		return err
	})
	return r.list, err
}

// again tells whether what follows is, to the letter, a value that was read before.
func (r *reader) again(text []byte) bool {
	return len(text) > 0 && bytes.HasPrefix(r.text[r.dec.InputOffset():], text)
}

// pairs reads an object of strings. check says what is wrong with a name.
func (r *reader) pairs(check func(name string) string) ([]Pair, error) {
	var list []Pair
	err := r.object(func(name []byte) error {
		p := Pair{Key: string(name)}
		problem := badText(name)
		if problem == "" {
			problem = check(p.Key)
		}
		if problem != "" {
			return r.bad("", problem)
		}
		if len(list) == MaxEntries {
			return errs.Bad(r.prefix+string(r.dec.StackPointer().Parent()), tooMany(MaxEntries))
		}
		if err := r.element(&p.Value); err != nil {
			return err
		}
		list = append(list, p)
		return nil
	})
	return list, err
}

func (r *reader) boolean(dst *bool) error {
	t, err := r.dec.ReadToken()
	if err != nil {
		return r.syntax(err)
	}
	switch t.Kind() {
	case jsontext.KindTrue:
		*dst = true
	case jsontext.KindFalse:
		*dst = false
	case jsontext.KindNull:
	default:
		return r.wrong("true or false", t.Kind())
	}
	return nil
}

// number reads a whole number between low and high; null leaves dst alone. It takes no fraction and no exponent, as Go's
// decoders of OCI documents do not.
func (r *reader) number(dst *int64, low, high int64) error {
	v, err := r.dec.ReadValue()
	if err != nil {
		return r.syntax(err)
	}
	switch v.Kind() {
	case jsontext.KindNumber:
	case jsontext.KindNull:
		return nil
	default:
		return r.wrong("a number", v.Kind())
	}
	if bytes.ContainsAny(v, ".eE") {
		return r.bad("", "must be a whole number, without fraction and exponent")
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n < low || n > high {
		return r.bad("", "must be between "+strconv.FormatInt(low, 10)+" and "+strconv.FormatInt(high, 10))
	}
	*dst = n
	return nil
}

func (r *reader) skip() error {
	return r.syntax(r.dec.SkipValue())
}

// bad is an error about what was read last, or a member of it: suffix is "" or "/source".
func (r *reader) bad(suffix, detail string) error {
	return errs.Bad(r.prefix+string(r.dec.StackPointer())+suffix, detail)
}

func (r *reader) wrong(want string, got jsontext.Kind) error {
	name := "an array"
	switch got {
	case jsontext.KindNull:
		name = "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		name = "a boolean"
	case jsontext.KindString:
		name = "a string"
	case jsontext.KindNumber:
		name = "a number"
	case jsontext.KindBeginObject:
		name = "an object"
	}
	return r.bad("", "must be "+want+", not "+name)
}

// syntax is the error of text that is not JSON, or nil.
func (r *reader) syntax(err error) error {
	if err == nil {
		return nil
	}
	s, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case !ok:
		return r.parse("", "the document ends too early")
	case s.Err == jsontext.ErrDuplicateName:
		return r.parse(s.JSONPointer, "the member is there twice"+r.position(s.ByteOffset))
	case s.Err == io.ErrUnexpectedEOF:
		return r.parse(s.JSONPointer, "the document ends too early"+r.position(s.ByteOffset))
	}
	return r.parse(s.JSONPointer, s.Err.Error()+r.position(s.ByteOffset))
}

func (r *reader) parse(at jsontext.Pointer, detail string) error {
	return &errs.Error{Code: errs.Invalid, Op: "parse", Pointer: r.prefix + string(at), Detail: detail}
}

// left is how many bytes are still to be read.
func (r *reader) left() int { return len(r.text) - int(r.dec.InputOffset()) }

func (r *reader) position(offset int64) string {
	line := 1 + bytes.Count(r.text[:min(int(offset), len(r.text))], []byte{'\n'})
	return " (byte " + strconv.FormatInt(offset, 10) + ", line " + strconv.Itoa(line) + ")"
}

func tooMany(limit int) string {
	return "has more than " + strconv.Itoa(limit) + " entries"
}
